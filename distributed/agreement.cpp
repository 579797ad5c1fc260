// Agreement by exchanges of bytes.
#include "distributed/agreement.h"

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"

namespace podium {

void require_equal_on_all_ranks(const std::string& bytes, const std::string& what,
                                const std::string& next_step, Communicator& communicator) {
  const std::vector<std::string> all = communicator.all_gather_bytes(bytes);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] != all[0]) {
      throw DistributedError(
          fmt::format("{} differs between rank 0 and rank {}; {}", what, rank, next_step));
    }
  }
}

std::string on_rank_zero(Communicator& communicator, const std::function<std::string()>& work) {
  nlohmann::json message = {{"code", 0}, {"text", ""}};
  std::exception_ptr failure;
  if (communicator.rank() == 0) {
    try {
      message["text"] = work();
    } catch (const Error& error) {
      failure = std::current_exception();
      message = {{"code", static_cast<int>(error.exit_code())}, {"text", error.what()}};
    } catch (const std::exception& error) {
      failure = std::current_exception();
      message = {{"code", static_cast<int>(ExitCode::kInternal)}, {"text", error.what()}};
    }
  }
  const bool is_first = communicator.rank() == 0;
  const std::string bytes =
      is_first ? message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : "";
  const std::string first = communicator.all_gather_bytes(bytes).front();
  if (failure) std::rethrow_exception(failure);
  message = nlohmann::json::parse(first);
  const int code = message.at("code");
  const std::string text = message.at("text");
  if (code != 0) throw Error(static_cast<ExitCode>(code), "rank 0: " + text);
  return text;
}

}  // namespace podium
