// Positions in a data set: a fold, an epoch, or all of it, in little memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <vector>

namespace podium::data_shards {

// An immutable list of positions; copies share it. Memory: nothing for positions that follow one
// another (a whole set), else 4 bytes each, so 4 bytes a sample for the two sides of a fold.
class SampleList {
 public:
  class Iterator;
  using value_type = int64_t;
  using const_iterator = Iterator;

  SampleList() = default;
  // [first, first + count).
  static SampleList range(int64_t first, int64_t count);
  // Errors: InternalError for a position outside [0, 2^32).
  SampleList(const std::vector<int64_t>& positions);  // NOLINT: a list of positions is one
  SampleList(std::initializer_list<int64_t> positions)
      : SampleList(std::vector<int64_t>(positions)) {}

  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Requires: i in [0, size()).
  int64_t operator[](int64_t i) const {
    return positions_ ? int64_t{(*positions_)[static_cast<size_t>(i)]} : first_ + i;
  }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = int64_t;
    using difference_type = int64_t;
    using pointer = const int64_t*;
    using reference = int64_t;
    Iterator(const SampleList* list, int64_t at) : list_(list), at_(at) {}
    int64_t operator*() const { return (*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++at_;
      return before;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const SampleList* list_;
    int64_t at_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size_}; }
  friend bool operator==(const SampleList& a, const SampleList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  friend class SampleListBuilder;
  std::shared_ptr<const std::vector<uint32_t>> positions_;  // null: a range
  int64_t first_ = 0;
  int64_t size_ = 0;
};

// Makes a list position by position; what turns out to be a range needs no memory.
class SampleListBuilder {
 public:
  // Errors: InternalError for a position outside [0, 2^32).
  void add(int64_t position);
  SampleList finish();

 private:
  int64_t first_ = 0;
  int64_t size_ = 0;
  bool is_range_ = true;
  std::vector<uint32_t> positions_;  // empty while it is a range
};

}  // namespace podium::data_shards
