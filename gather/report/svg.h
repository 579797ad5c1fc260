// A small writer of inline SVG plots: axes, lines, marks. No external resource, no script. Read
// next: report.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gather/outcome/loss_curves.h"

namespace podium::gather {

// Text for HTML or SVG.
std::string escape_html(std::string_view text);
// "0.1234", "-" for NaN.
std::string decimals(double value, int digits = 4);

struct Range {
  double low = 0, high = 1;
};
// Smallest range of round numbers that holds all values; {0, 1} without any.
Range nice_range(const std::vector<double>& values);
// 3 to 6 round numbers inside a range.
std::vector<double> nice_ticks(Range range);

// One plot in data coordinates. Elements are drawn in the order of the calls.
class Plot {
 public:
  // Units: px of the drawing; it scales with its container.
  Plot(int width, int height, Range x, Range y, std::string x_label, std::string y_label);
  void line(const std::vector<CurvePoint>& points, std::string_view colour, double stroke_px = 1.6,
            std::string_view dash = "", double opacity = 1);
  void horizontal(double y, std::string_view colour, std::string_view dash = "4 3");
  void vertical(double x, std::string_view colour, std::string_view dash = "4 3");
  void dot(double x, double y, std::string_view colour, double radius_px = 3);
  // Text at a data point; `anchor`: start, middle, end.
  void note(double x, double y, std::string_view text, std::string_view colour,
            std::string_view anchor = "start");
  std::string str() const;

 private:
  double to_x(double x) const;
  double to_y(double y) const;
  void draw_axes(const std::string& x_label, const std::string& y_label);

  int width_, height_;
  Range x_, y_;
  std::string body_;
};

}  // namespace podium::gather
