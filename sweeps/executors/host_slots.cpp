// mpi: slots on the given hosts, one mpirun per trial.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "sweeps/executors/slots.h"

namespace podium::sweeps {
namespace {

struct HostShare {
  std::string name;
  int slots = 0;
};

std::vector<HostShare> parse_hosts(const std::string& hosts) {
  std::vector<HostShare> shares;
  for (const std::string& part : split(hosts, ',')) {
    const size_t colon = part.rfind(':');
    const auto count =
        colon == std::string::npos ? std::optional<int64_t>(1) : parse_int(part.substr(colon + 1));
    const std::string name = part.substr(0, colon);
    if (name.empty() || !count || *count < 1) {
      throw UsageError(fmt::format("--hosts={}: \"{}\" is not HOST:SLOTS; write as --hosts=a:4,b:4",
                                   hosts, part));
    }
    shares.push_back({name, static_cast<int>(*count)});
  }
  return shares;
}

std::string host_text(const HostShare& share, int count) {
  return fmt::format("{}:{}", share.name, count);
}

}  // namespace

std::vector<Slot> host_slots(const std::string& hosts, int workers, int max_slots) {
  std::vector<HostShare> shares = parse_hosts(hosts);
  std::vector<Slot> slots;
  const auto add = [&](std::string text) {
    slots.push_back({static_cast<int>(slots.size()), {}, std::move(text)});
  };
  for (HostShare& share : shares) {
    for (; share.slots >= workers; share.slots -= workers) add(host_text(share, workers));
  }
  std::vector<std::string> parts;
  int missing = workers;
  for (const HostShare& share : shares) {
    for (int rest = share.slots; rest > 0;) {
      const int taken = std::min(rest, missing);
      parts.push_back(host_text(share, taken));
      rest -= taken;
      missing -= taken;
      if (missing > 0) continue;
      add(join(std::exchange(parts, {}), ","));
      missing = workers;
    }
  }
  if (slots.empty()) {
    throw UsageError(fmt::format(
        "--hosts={}: a trial needs {} slots; add hosts, or lower `workers`", hosts, workers));
  }
  if (max_slots > 0 && static_cast<int>(slots.size()) > max_slots) {
    slots.resize(static_cast<size_t>(max_slots));
  }
  return slots;
}

std::vector<Slot> make_mpi_slots(const SlotOptions& options) {
  if (options.hosts.empty()) {
    throw UsageError("--executor=mpi needs --hosts, as --hosts=a:4,b:4");
  }
  return host_slots(options.hosts, options.workers, options.num_slots);
}

}  // namespace podium::sweeps
