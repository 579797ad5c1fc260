// The page around the sections: style, header, order.
#include "gather/report/report.h"

#include <fmt/format.h>

#include "base/version.h"
#include "gather/report/svg.h"

namespace podium::gather {
using metrics::PredictionTask;
namespace {

constexpr std::string_view kStyle = R"css(
:root{--ink:#1d2a33;--muted:#66747f;--line:#e3e8ec;--soft:#f5f7f9;--accent:#1f6f8b}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:0 0 4px}
h3{font-size:14px;margin:0 0 2px;font-weight:600}
section{margin-top:38px}
.lead,.sub{color:var(--muted);margin:0 0 14px;max-width:78ch}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0}
.card{border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.card b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums}
.card span{color:var(--muted);font-size:13px;display:block}
.card.main{background:var(--accent);border-color:var(--accent);color:#fff}
.card.main span{color:#d8eaf0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}
th{color:var(--muted);font-weight:600;font-size:13px}
tr.strong td{font-weight:600;background:var(--soft)}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:22px}
.grid4{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:18px 16px}
figure{margin:0}
figure small{color:var(--muted);font-size:12px}
svg{display:block;width:100%;height:auto}
svg text{font-size:11px;fill:var(--muted)}
svg text.note{font-size:11px;fill:inherit}
svg .grid{stroke:var(--line)}
svg .axis{stroke:#b8c2ca}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 0 10px;font-size:13px;color:var(--muted)}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.bars{display:grid;grid-template-columns:minmax(80px,max-content) 1fr max-content;gap:3px 12px;align-items:center;font-size:13px}
.bars .name{overflow:hidden;text-overflow:ellipsis;max-width:34vw;white-space:nowrap}
.bars .track{position:relative;height:15px;background:var(--soft);border-radius:3px}
.bars .track svg{height:15px}
.bars .value{font-variant-numeric:tabular-nums;text-align:right}
details{margin-top:14px}
summary{cursor:pointer;color:var(--accent);font-size:14px}
code{font:12px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;word-break:break-all}
td code{word-break:normal}
pre{background:var(--soft);border-radius:6px;padding:10px 12px;overflow-x:auto;margin:0 0 14px}
footer{margin-top:44px;color:var(--muted);font-size:13px}
@media (max-width:600px){.grid4{grid-template-columns:repeat(auto-fill,minmax(160px,1fr))}main{padding:18px 14px 40px}h1{font-size:22px}.card b{font-size:21px}section{margin-top:30px}}
)css";

std::string subtitle(const OofTable& table, const GatherFindings& findings) {
  std::string task = task_name(table.samples.task);
  task[task.find('_') == std::string::npos ? task.size() - 1 : task.find('_')] =
      task.find('_') == std::string::npos ? task.back() : '-';
  return fmt::format("{} predictions of {} and {} by {}; scores are out of fold", task,
                     counted(table.samples.num_samples(), "labelled sample", "labelled samples"),
                     counted(table.samples.num_classes(), "class", "classes"),
                     counted(findings.groups.size(), "model", "models"));
}

}  // namespace

std::string counted(size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string section(std::string_view id, std::string_view title, std::string_view lead,
                    const std::string& body) {
  return fmt::format("<section id='{}'><h2>{}</h2><p class='lead'>{}</p>{}</section>\n", id, title,
                     lead, body);
}

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<div class='scroll'><table><thead><tr>";
  for (const std::string& cell : header) {
    html += "<th>" + cell + "</th>";
  }
  html += "</tr></thead><tbody>";
  for (const std::vector<std::string>& row : rows) {
    const bool is_strong = !row.empty() && row[0].starts_with("<b>");
    html += is_strong ? "<tr class='strong'>" : "<tr>";
    for (const std::string& cell : row) {
      html += "<td>" + cell + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>";
}

std::string legend_item(std::string_view colour, std::string_view text) {
  return fmt::format("<span><i style='background:{}'></i>{}</span>", colour, escape_html(text));
}

std::string report_html(const GatherOptions& options, const OofTable& table,
                        const OofTable* baselines, const GatherFindings& findings) {
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width,initial-scale=1'><title>{}</title><style>{}</style></"
      "head><body><main>\n"
      "<h1>{}</h1><p class='sub'>{}</p>\n",
      escape_html(options.title), kStyle, escape_html(options.title),
      escape_html(subtitle(table, findings)));
  page += headline_section(findings);
  page += models_section(findings);
  page += class_bars_section(table, findings);
  if (table.samples.task == PredictionTask::kMultiLabel) {
    page += threshold_section(table, findings);
    page += precision_recall_section(table, baselines, findings);
  } else if (table.samples.task == PredictionTask::kSingleLabel) {
    page += confusion_section(table, findings);
  } else {
    page += mask_section(findings);
  }
  page += loss_section(findings);
  page += data_section(table, findings);
  page += inputs_section(options, table, findings);
  page += fmt::format(
      "<footer>Written by podium {}. The same inputs give the same "
      "page.</footer>\n</main></body></html>\n",
      kVersion);
  return page;
}

}  // namespace podium::gather
