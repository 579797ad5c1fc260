// What becomes of a sample that cannot be packed.
#include "base/error.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {

bool is_good_sample(const PackOptions& options, const std::string& place,
                    std::vector<BadSample>* bad, const std::function<void()>& function) {
  const auto note = [&](const Error& error) {
    std::string reason = error.what();
    if (reason.rfind(place + ": ", 0) == 0) reason.erase(0, place.size() + 2);
    bad->push_back({place, reason});
  };
  try {
    function();
    return true;
  } catch (const DataError& error) {
    if (!options.skip_bad_samples) throw;
    note(error);
  } catch (const IoError& error) {
    if (!options.skip_bad_samples) throw;
    note(error);
  }
  return false;
}

}  // namespace podium::data_shards
