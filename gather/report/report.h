// report.html: one self-contained page. The sections: report_models.cpp, report_classes.cpp,
// report_masks.cpp.
#pragma once

#include <string>
#include <string_view>

#include "gather/outcome/findings.h"
#include "gather/outcome/gather_options.h"
#include "gather/sets/join.h"

namespace podium::gather {

// `baselines` may be null. The text depends on the inputs only: no time, no host.
std::string report_html(const GatherOptions& options, const OofTable& table,
                        const OofTable* baselines, const GatherFindings& findings);

namespace colours {
inline constexpr std::string_view kEnsemble = "#1f6f8b";
inline constexpr std::string_view kBar = "#6aa5b8";
inline constexpr std::string_view kSingle = "#8fb8c6";
inline constexpr std::string_view kBaseline = "#d9822b";
inline constexpr std::string_view kPrior = "#39434c";
inline constexpr std::string_view kThreshold = "#b03a5b";
}  // namespace colours

// Parts of the page; each returns HTML.
std::string headline_section(const GatherFindings& findings);
std::string models_section(const GatherFindings& findings);
std::string loss_section(const GatherFindings& findings);
std::string data_section(const OofTable& table, const GatherFindings& findings);
std::string inputs_section(const GatherOptions& options, const OofTable& table,
                           const GatherFindings& findings);
// Bars of one value per class with the prior as tick and the best baseline as mark.
std::string class_bars_section(const OofTable& table, const GatherFindings& findings);
// Multi-label only.
std::string threshold_section(const OofTable& table, const GatherFindings& findings);
std::string precision_recall_section(const OofTable& table, const OofTable* baselines,
                                     const GatherFindings& findings);
// Single label only.
std::string confusion_section(const OofTable& table, const GatherFindings& findings);
// Masks only.
std::string mask_section(const GatherFindings& findings);

// "<section id=...><h2>title</h2><p class='lead'>lead</p>body</section>".
std::string section(std::string_view id, std::string_view title, std::string_view lead,
                    const std::string& body);
// A table that scrolls sideways on a narrow screen; cells are HTML, the first column is text, the
// others numbers.
std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows);
// "1 class", "60 classes".
std::string counted(size_t count, std::string_view one, std::string_view many);
// A coloured square and a word.
std::string legend_item(std::string_view colour, std::string_view text);

}  // namespace podium::gather
