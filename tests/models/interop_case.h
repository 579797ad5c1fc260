// One round trip of a model between Podium and its public Python definition (reference.py), shared
// by the small models of the parity tests and the full-size ones of the slow tests. Read next:
// interop_case.cpp.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace podium::models::testing {

struct InteropCase {
  std::string model;
  // Who reads and writes: "timm", "torchvision", "transformers", "official" (CvT), "filtered" (the
  // official naming through timm's converter).
  std::string naming = "timm";
  int64_t height = 64, width = 64;  // px
  int64_t in_channels = 3;
  int64_t num_classes = 5;

  std::string key() const;  // "cvt_13_official"
};
std::ostream& operator<<(std::ostream& out, const InteropCase& test);

// Podium writes weights in the naming; Python loads them strictly and computes logits, pooled
// features and the gradients of all parameters, which `podium forward` must give; then both take
// one AdamW step in training mode, Python saves, and Podium loads that file strictly and compares
// every weight and running statistic. Skips the test, by name, without the Python packages.
void run_round_trip(const InteropCase& test);

// Feature maps of strides 4, 8, 16 and 32 against timm's.
void compare_pyramid(const InteropCase& test);

// The interpreter with torch, timm, torchvision and transformers; skips the test and returns ""
// where there is none.
std::string find_reference_python();
// Runs reference.py; fails the test when that fails.
bool run_reference(const std::string& python, const std::string& arguments);

}  // namespace podium::models::testing
