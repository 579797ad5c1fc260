// One line.
#include "trainer/record/metrics_text.h"

#include <fmt/format.h>

#include <vector>

#include "base/text.h"

namespace podium::trainer {

std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : metrics) parts.push_back(fmt::format("{} {:.4f}", name, value));
  return join(parts, ", ");
}

}  // namespace podium::trainer
