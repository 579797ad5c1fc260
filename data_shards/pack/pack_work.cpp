// Locking, the state of finished shards, and the last rename.
#include "data_shards/pack/pack_work.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/shard_index.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStateFolder = "state";
constexpr const char* kLockFile = "lock";

void check_output(const fs::path& output, bool is_overwrite) {
  std::error_code error;
  if (!fs::exists(output, error) || (fs::is_directory(output) && fs::is_empty(output))) return;
  if (!is_overwrite) {
    throw IoError(fmt::format("{} exists and is not empty; choose another --output, or --overwrite",
                              output.string()));
  }
  if (!fs::exists(output / kDatasetFile)) {
    throw UsageError(
        fmt::format("{} holds no {}: --overwrite replaces packed data sets only; "
                    "choose another --output",
                    output.string(), kDatasetFile));
  }
}

// Swaps two folders in one step where the file system can, else by two renames.
void exchange(const fs::path& work, const fs::path& output) {
  if (renameat2(AT_FDCWD, work.c_str(), AT_FDCWD, output.c_str(), RENAME_EXCHANGE) == 0) return;
  const fs::path aside = work.string() + ".replaced";
  fs::rename(output, aside);
  fs::rename(work, output);
  fs::rename(aside, work);
}

void sync_folder(const fs::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

}  // namespace

PackWork::PackWork(fs::path output, bool is_overwrite) {
  output_ = fs::absolute(output).lexically_normal();
  if (!output_.has_filename()) output_ = output_.parent_path();
  check_output(output_, is_overwrite);
  work_ = output_.parent_path() / ("." + output_.filename().string() + ".packing");
  make_directories(work_ / kStateFolder);
  const fs::path lock = work_ / kLockFile;
  lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  // A file system without locks is not refused: the lock guards against a slip of the user, not
  // against corruption.
  if (lock_ >= 0 && flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(lock_);
    throw IoError(fmt::format("another process packs to {} (lock on {}); wait for it, or end it",
                              output_.string(), lock.string()));
  }
}

PackWork::~PackWork() {
  std::error_code error;
  if (!is_committed_ && fs::is_empty(work_ / kStateFolder, error) && !error) {
    fs::remove_all(work_, error);
  }
  if (lock_ >= 0) close(lock_);
}

fs::path PackWork::state_file(size_t number) const {
  return work_ / kStateFolder / fmt::format("{:06d}.json", number);
}

std::optional<PackedShard> PackWork::find_finished(
    size_t number, const fs::path& file, size_t first,
    const std::function<std::string(ShardRange)>& digest_of) const {
  if (!fs::exists(state_file(number))) return std::nullopt;
  try {
    const json state = json::parse(read_file(state_file(number)));
    PackedShard shard;
    state.at("first").get_to(shard.range.first);
    state.at("last").get_to(shard.range.last);
    if (shard.range.first != first || state.at("file") != file.filename().string() ||
        state.at("input") != digest_of(shard.range)) {
      return std::nullopt;
    }
    state.at("file").get_to(shard.info.file);
    state.at("num_samples").get_to(shard.info.num_samples);
    state.at("num_bytes").get_to(shard.info.num_bytes);
    state.at("xxh3_128").get_to(shard.info.xxh3_128);
    state.at("samples_xxh3_128").get_to(shard.info.samples_xxh3_128);
    for (const json& bad : state.at("bad_samples")) {
      shard.bad_samples.push_back({bad.at("place"), bad.at("reason")});
    }
    const std::string table = read_file(sample_table_path(file));
    const auto samples = parse_sample_table(table, sample_table_path(file).string());
    check_shard_index(read_file(shard_index_path(file)), samples, file.string());
    const bool is_whole = xxh3_128_hex(table) == shard.info.samples_xxh3_128 &&
                          static_cast<int64_t>(fs::file_size(file)) == shard.info.num_bytes;
    if (is_whole) return shard;
  } catch (const json::exception&) {
    return std::nullopt;  // whatever is wrong with it: the shard is written again
  } catch (const Error&) {
    return std::nullopt;
  } catch (const fs::filesystem_error&) {
    return std::nullopt;
  }
  return std::nullopt;
}

void PackWork::note_finished(size_t number, const PackedShard& shard,
                             const std::string& input_digest) {
  json state = {{"input", input_digest},
                {"file", shard.info.file},
                {"first", shard.range.first},
                {"last", shard.range.last},
                {"num_samples", shard.info.num_samples},
                {"num_bytes", shard.info.num_bytes},
                {"xxh3_128", shard.info.xxh3_128},
                {"samples_xxh3_128", shard.info.samples_xxh3_128},
                {"bad_samples", json::array()}};
  for (const BadSample& bad : shard.bad_samples) {
    state["bad_samples"].push_back({{"place", bad.place}, {"reason", bad.reason}});
  }
  write_file_atomic(state_file(number), state.dump(1) + "\n");
}

void PackWork::remove_state() { fs::remove_all(work_ / kStateFolder); }

void PackWork::commit() {
  fs::remove(work_ / kLockFile);
  mark_done(work_);
  sync_folder(work_);
  std::error_code error;
  if (fs::exists(output_ / kDatasetFile, error)) {
    exchange(work_, output_);
    fs::remove_all(work_);
  } else if (std::rename(work_.c_str(), output_.c_str()) != 0) {
    throw IoError(fmt::format("cannot rename {} to {}: {}; rename it by hand, it is whole",
                              work_.string(), output_.string(), std::strerror(errno)));
  }
  sync_folder(output_.parent_path());
  is_committed_ = true;
}

}  // namespace podium::data_shards
