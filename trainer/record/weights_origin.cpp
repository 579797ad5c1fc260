// The name without its folder, so that a repetition elsewhere writes the same set.
#include "trainer/record/weights_origin.h"

#include <fmt/format.h>

#include <filesystem>

namespace podium::trainer {

metrics::WeightsOrigin weights_origin(const nlohmann::json& manifest) {
  const nlohmann::json& weights = manifest.at("initial_weights");
  if (weights.is_null()) return {};
  const std::filesystem::path file = weights.at("file").get<std::string>();
  return {fmt::format("{} (XXH3-128 {})", file.filename().string(),
                      weights.at("xxh3_128").get<std::string>()),
          weights.value("licence", "")};
}

}  // namespace podium::trainer
