// The mean of models, in chunks.
#include "gather/search/ensemble.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"

namespace podium::gather {

Values weighted_mean(const std::vector<GroupPredictions>& groups,
                     const std::vector<int64_t>& counts, int num_threads) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (counts.size() != groups.size() || total <= 0) {
    throw InternalError("an ensemble needs one count per group and one that is not 0");
  }
  Values mean;
  mean.probabilities.resize(groups.front().values.probabilities.size());
  mean.mask_probabilities.resize(groups.front().values.mask_probabilities.size());
  constexpr size_t kChunk = 1 << 14;
  const size_t num_values = std::max(mean.probabilities.size(), mean.mask_probabilities.size());
  const auto num_chunks = static_cast<int64_t>((num_values + kChunk - 1) / kChunk);
  parallel_for(num_chunks, num_threads, [&](int64_t chunk) {
    const size_t first = static_cast<size_t>(chunk) * kChunk;
    const size_t last = std::min(first + kChunk, num_values);
    for (size_t i = first; i < last; ++i) {
      if (mean.probabilities.empty()) {
        int64_t sum = 0;
        for (size_t m = 0; m < groups.size(); ++m) {
          sum += counts[m] * groups[m].values.mask_probabilities[i];
        }
        mean.mask_probabilities[i] = static_cast<uint16_t>((sum + total / 2) / total);
        continue;
      }
      double sum = 0;
      for (size_t m = 0; m < groups.size(); ++m) {
        sum +=
            static_cast<double>(counts[m]) * static_cast<double>(groups[m].values.probabilities[i]);
      }
      mean.probabilities[i] = static_cast<float>(sum / static_cast<double>(total));
    }
  });
  return mean;
}

}  // namespace podium::gather
