// Mixing of the samples of a micro-batch with each other, on the device: mixup, CutMix, ClassMix.
// Partners lie within the micro-batch, so that the number of workers changes nothing. Read next:
// mix_table.h, mix_draw.h, mixup.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data_shards/decode/decode.h"
#include "data_shards/format/task.h"
#include "data_shards/mix/mix_table.h"
#include "data_shards/pixels/resample.h"

namespace podium::data_shards {

// What a sample gets from its partner by ClassMix.
struct ClassPaste {
  std::vector<int64_t> classes;
  double scale = 1;     // about the centre of these classes' bounding box
  double center_x = 0;  // px, pixel centres at .5
  double center_y = 0;
};

// All random choices for one micro-batch.
struct MixDraw {
  std::shared_ptr<const Mixing> mixing{};  // null: nothing is mixed
  double lambda = 1;                       // share of the sample itself
  PixelRect box{};                         // CutMix: what comes from the partner
  std::vector<ClassPaste> pastes{};        // ClassMix: (B)
};

struct Mixed {
  at::Tensor images;   // (B, C, H, W)
  at::Tensor targets;  // see apply_mix
};

// One way of mixing, with its parameters. Sample i of B is mixed with sample B - 1 - i.
class Mixing {
 public:
  virtual ~Mixing() = default;
  // Makes the random choices. `host_masks` as in draw_mix(). False: there is nothing to mix, and
  // `draw` stays.
  virtual bool draw(const ImageSize& size, const at::Tensor& host_masks, Rng* rng,
                    MixDraw* draw) const = 0;
  // As apply_mix(), with what draw() has chosen.
  virtual Mixed apply(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
                      const at::Tensor& targets) const = 0;
  // What happened to sample `slot`, for people: "CutMix 0.70, rest PARTNER". `classes`: names.
  virtual std::string text(const MixDraw& draw, size_t slot, const std::string& partner,
                           const std::vector<std::string>& classes) const = 0;
};

struct MixOptions {
  // A mixing that is drawn with its own probability, where no alternative was chosen.
  struct Own {
    std::shared_ptr<const Mixing> mixing;
    double probability = 0;  // per micro-batch
  };

  std::vector<std::shared_ptr<const Mixing>> alternatives;  // those that are on, in table order
  std::vector<Own> own;                                     // those that are on, in table order
  double probability = 1;           // of one of the alternatives, per micro-batch
  double switch_probability = 0.5;  // of the next alternative instead of the one before it
  int64_t last_epoch = 0;           // mixing ends with this epoch; 0: with the run

  bool is_on(int64_t epoch) const {
    return !(alternatives.empty() && own.empty()) && (last_epoch == 0 || epoch < last_epoch);
  }
};

// Adds the mixing `name` of mix_table() where `parameters` switch it on; those that are not given
// have their default. Errors: what setting.refuse throws.
void add_mixing(const std::string& name, const nlohmann::json& parameters,
                const MixSetting& setting, MixOptions* options);

// `host_masks`: (B, H, W) int64 on the host, undefined for class labels.
// Random: the caller's stream (kMix: step, leaf).
MixDraw draw_mix(const MixOptions& options, const ImageSize& size, const at::Tensor& host_masks,
                 Rng rng);

// Shapes: images (B, C, H, W); targets by task: multi label (B, K) floats with kUnknownLabel, which
// stays unknown when either sample's is; single label (B) int64, which become (B, K) floats that
// sum to 1 unless nothing is mixed; masks (B, H, W) int64. Both on one device; `images` may be
// overwritten.
Mixed apply_mix(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
                const at::Tensor& targets);

}  // namespace podium::data_shards
