// SVG plots.
#include "gather/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace podium::gather {
namespace {

constexpr int kLeft = 46, kRight = 12, kTop = 10, kBottom = 36;  // px around the plot area

template <typename... Args>
void add(std::string& body, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(body), format, std::forward<Args>(args)...);
}

// 1, 2 or 5 times a power of ten, at least `rough`.
double nice_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      return factor * power;
    }
  }
  return 10 * power;
}

std::string tick_text(double value) {
  if (std::abs(value) >= 10000) {
    return fmt::format("{:.3g}k", value / 1000);
  }
  return fmt::format("{:.6g}", std::abs(value) < 1e-12 ? 0.0 : value);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string decimals(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : std::string("\u2013");
}

Range nice_range(const std::vector<double>& values) {
  Range range{INFINITY, -INFINITY};
  for (const double value : values) {
    if (std::isfinite(value)) {
      range.low = std::min(range.low, value);
      range.high = std::max(range.high, value);
    }
  }
  if (range.low > range.high) {
    return {0, 1};
  }
  const double spread =
      range.high > range.low ? range.high - range.low : std::max(std::abs(range.high), 1.0);
  const double step = nice_step(spread / 4);
  return {std::floor(range.low / step + 1e-9) * step,
          std::ceil(range.high / step - 1e-9) * step + (range.high > range.low ? 0 : step)};
}

std::vector<double> nice_ticks(Range range) {
  const double step = nice_step((range.high - range.low) / 5);
  std::vector<double> ticks;
  for (double i = std::ceil(range.low / step - 1e-9); i * step <= range.high + step * 1e-9; ++i) {
    ticks.push_back(i * step + 0.0);  // + 0.0: no negative zero
  }
  return ticks;
}

Plot::Plot(int width, int height, Range x, Range y, std::string x_label, std::string y_label)
    : width_(width), height_(height), x_(x), y_(y) {
  draw_axes(x_label, y_label);
}

double Plot::to_x(double x) const {
  return kLeft + (x - x_.low) / (x_.high - x_.low) * (width_ - kLeft - kRight);
}

double Plot::to_y(double y) const {
  return height_ - kBottom - (y - y_.low) / (y_.high - y_.low) * (height_ - kTop - kBottom);
}

void Plot::draw_axes(const std::string& x_label, const std::string& y_label) {
  const double left = kLeft, right = width_ - kRight, bottom = height_ - kBottom;
  for (const double tick : nice_ticks(y_)) {
    add(body_, "<line class='grid' x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}'/>", left, right,
        to_y(tick), to_y(tick));
    add(body_, "<text class='tick' x='{:.1f}' y='{:.1f}' text-anchor='end'>{}</text>", left - 6,
        to_y(tick) + 3.5, tick_text(tick));
  }
  for (const double tick : nice_ticks(x_)) {
    add(body_, "<text class='tick' x='{:.1f}' y='{:.1f}' text-anchor='middle'>{}</text>",
        to_x(tick), bottom + 14, tick_text(tick));
  }
  add(body_, "<line class='axis' x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}'/>", left, right,
      bottom, bottom);
  add(body_, "<text class='label' x='{:.1f}' y='{}' text-anchor='middle'>{}</text>",
      (left + right) / 2, height_ - 6, escape_html(x_label));
  add(body_,
      "<text class='label' transform='translate(11 {:.1f}) rotate(-90)' "
      "text-anchor='middle'>{}</text>",
      (kTop + bottom) / 2, escape_html(y_label));
}

void Plot::line(const std::vector<CurvePoint>& points, std::string_view colour, double stroke_px,
                std::string_view dash, double opacity) {
  if (points.empty()) {
    return;
  }
  add(body_,
      "<polyline fill='none' stroke='{}' stroke-width='{:.2g}' stroke-linejoin='round' "
      "opacity='{:.2g}'",
      colour, stroke_px, opacity);
  if (!dash.empty()) {
    add(body_, " stroke-dasharray='{}'", dash);
  }
  body_ += " points='";
  for (const CurvePoint& point : points) {
    add(body_, "{:.1f},{:.1f} ", to_x(std::clamp(point.x, x_.low, x_.high)),
        to_y(std::clamp(point.y, y_.low, y_.high)));
  }
  body_ += "'/>";
}

void Plot::horizontal(double y, std::string_view colour, std::string_view dash) {
  if (std::isfinite(y) && y >= y_.low && y <= y_.high) {
    add(body_, "<line stroke='{}' stroke-dasharray='{}' x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}'/>",
        colour, dash, kLeft, width_ - kRight, to_y(y), to_y(y));
  }
}

void Plot::vertical(double x, std::string_view colour, std::string_view dash) {
  if (std::isfinite(x) && x >= x_.low && x <= x_.high) {
    add(body_, "<line stroke='{}' stroke-dasharray='{}' x1='{:.1f}' x2='{:.1f}' y1='{}' y2='{}'/>",
        colour, dash, to_x(x), to_x(x), kTop, height_ - kBottom);
  }
}

void Plot::dot(double x, double y, std::string_view colour, double radius_px) {
  if (std::isfinite(x) && std::isfinite(y)) {
    add(body_, "<circle cx='{:.1f}' cy='{:.1f}' r='{:.2g}' fill='{}' stroke='#fff'/>",
        to_x(std::clamp(x, x_.low, x_.high)), to_y(std::clamp(y, y_.low, y_.high)), radius_px,
        colour);
  }
}

void Plot::note(double x, double y, std::string_view text, std::string_view colour,
                std::string_view anchor) {
  add(body_, "<text class='note' fill='{}' x='{:.1f}' y='{:.1f}' text-anchor='{}'>{}</text>",
      colour, to_x(x), to_y(y), anchor, escape_html(text));
}

std::string Plot::str() const {
  return fmt::format("<svg viewBox='0 0 {} {}' role='img'>{}</svg>", width_, height_, body_);
}

}  // namespace podium::gather
