// mean: every model once.
#include "gather/search/ensemble_table.h"

namespace podium::gather {

EnsembleChoice choose_all(const EnsembleSearch& search, const PartSpec&) {
  return {std::vector<int64_t>(search.num_models, 1), std::nullopt};
}

}  // namespace podium::gather
