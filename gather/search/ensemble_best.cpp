// best: the best single model.
#include "gather/search/ensemble_table.h"

namespace podium::gather {

EnsembleChoice choose_best(const EnsembleSearch& search, const PartSpec&) {
  std::vector<int64_t> counts(search.num_models, 0);
  counts[search.best_model] = 1;
  return {std::move(counts), std::nullopt};
}

}  // namespace podium::gather
