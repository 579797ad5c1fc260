// The row of the colour histograms.
#include "models/backbones/families.h"

namespace podium::models {

ModelRows color_histogram_models() {
  ModelRow model;
  model.name = "color_histogram";
  model.family = "baseline";
  model.naming = "podium";
  model.help = "linear model on colour histograms: the baseline that a learnt model has to beat";
  model.create = create_color_histogram;
  return {model};
}

}  // namespace podium::models
