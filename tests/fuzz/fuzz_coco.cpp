// Any bytes as COCO JSON: refused, or a plan whose masks have the sizes that the file says.
#include "data_shards/pack/pack_plan.h"
#include "tests/fuzz/fuzz_input.h"

namespace podium::data_shards {
PackPlan plan_coco(const PackOptions& options);  // pack_coco.cpp
}  // namespace podium::data_shards

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  using namespace podium::data_shards;
  const fuzz::InputFile input(data, size);
  PackOptions options;
  options.input = input.path();
  options.images = "/dev";  // "null" is an image that is there
  options.skip_bad_samples = true;
  return fuzz::expect_data_error_at_most([&] {
    for (const PackSample& sample : plan_coco(options).samples) {
      if (!sample.draw_mask) continue;
      fuzz::expect_data_error_at_most([&] {
        const cv::Mat mask = sample.draw_mask(9, 14);
        if (mask.rows != 9 || mask.cols != 14) std::abort();
      });
    }
  });
}
