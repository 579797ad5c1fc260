// mixup: the weighted mean of two samples. Source: timm 1.0.24, data/mixup.py, mode "batch".
#include <fmt/format.h>

#include "base/error.h"
#include "data_shards/mix/mix.h"
#include "data_shards/mix/mix_draw.h"

namespace podium::data_shards {
namespace {

class Mixup : public Mixing {
 public:
  explicit Mixup(double alpha) : alpha_(alpha) {}

  bool draw(const ImageSize&, const at::Tensor&, Rng* rng, MixDraw* draw) const override {
    draw->lambda = draw_beta(alpha_, rng);
    return true;
  }

  Mixed apply(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
              const at::Tensor& targets) const override {
    if (task == Task::kSegmentation) throw InternalError("mixup of masks has no meaning");
    const at::Tensor partners = images.flip({0}).mul_(1 - draw.lambda);
    images.mul_(draw.lambda).add_(partners);
    return {images, mix_labels(task, num_classes, targets, draw.lambda)};
  }

  std::string text(const MixDraw& draw, size_t, const std::string& partner,
                   const std::vector<std::string>&) const override {
    return fmt::format("mixup {:.2f}, rest {}", draw.lambda, partner);
  }

 private:
  double alpha_;
};

}  // namespace

std::shared_ptr<const Mixing> create_mixup(const PartSpec& spec, const MixSetting& setting) {
  const double alpha = spec.get_float("mixup_alpha");
  if (alpha > 0 && setting.task == Task::kSegmentation) {
    setting.refuse("mixup_alpha",
                   "masks cannot be averaged; use mix.cutmix_alpha or mix.classmix_probability");
  }
  return std::make_shared<Mixup>(alpha);
}

}  // namespace podium::data_shards
