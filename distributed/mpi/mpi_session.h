// Start and end of MPI in this process. Read next: mpi_engine.h.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>

namespace podium {

// Errors: DistributedError "WHAT: MPI's text" when `code` is not MPI_SUCCESS.
void check_mpi(int code, const std::string& what);

// MPI is up while one of these lives. MPI can be started once per process, so a second session
// after the end of the first is an error. The end is collective: it is left out when this process
// is on its way out because of an error, since the peers may never come; such a process ends by
// abort_workers().
class MpiSession {
 public:
  // The session of this process, started when there is none. Errors: DistributedError.
  static std::shared_ptr<MpiSession> acquire();
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // After a failure: the destructor leaves MPI as it is.
  void mark_broken() { is_broken_ = true; }

  // Ends all workers with this exit code and does not return; does nothing when MPI is not up.
  static void abort(int exit_code);

 private:
  MpiSession();
  bool is_owner_ = false;
  bool is_broken_ = false;
};

}  // namespace podium
