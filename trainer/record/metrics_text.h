// Metrics for people.
#pragma once

#include <map>
#include <string>

namespace podium::trainer {

// "val_loss 0.31, val_map 0.82".
std::string metrics_text(const std::map<std::string, double>& metrics);

}  // namespace podium::trainer
