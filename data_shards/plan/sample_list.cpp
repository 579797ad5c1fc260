// Making of lists of positions.
#include "data_shards/plan/sample_list.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/error.h"

namespace podium::data_shards {

SampleList SampleList::range(int64_t first, int64_t count) {
  SampleList list;
  list.first_ = first;
  list.size_ = count;
  return list;
}

SampleList::SampleList(const std::vector<int64_t>& positions) {
  SampleListBuilder builder;
  for (const int64_t position : positions) builder.add(position);
  *this = builder.finish();
}

void SampleListBuilder::add(int64_t position) {
  if (position < 0 || position > int64_t{std::numeric_limits<uint32_t>::max()}) {
    throw InternalError(fmt::format("no position {} in a list of samples", position));
  }
  if (size_ == 0) first_ = position;
  if (is_range_ && position != first_ + size_) {
    is_range_ = false;
    positions_.reserve(static_cast<size_t>(size_) + 1);
    for (int64_t i = 0; i < size_; ++i) positions_.push_back(static_cast<uint32_t>(first_ + i));
  }
  if (!is_range_) positions_.push_back(static_cast<uint32_t>(position));
  ++size_;
}

SampleList SampleListBuilder::finish() {
  SampleList list = SampleList::range(first_, size_);
  if (!is_range_) {
    positions_.shrink_to_fit();
    list.positions_ = std::make_shared<const std::vector<uint32_t>>(std::move(positions_));
  }
  *this = {};
  return list;
}

}  // namespace podium::data_shards
