// MPI_Init, MPI_Finalize, MPI_Abort. Read next: mpi_engine.cpp.
#include "distributed/mpi/mpi_session.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>

#include "base/error.h"

namespace podium {
namespace {

std::mutex session_mutex;
std::weak_ptr<MpiSession> current_session;

bool is_initialised() {
  int flag = 0;
  MPI_Initialized(&flag);
  return flag != 0;
}

bool is_finalised() {
  int flag = 0;
  MPI_Finalized(&flag);
  return flag != 0;
}

}  // namespace

void check_mpi(int code, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw DistributedError(fmt::format("{}: {}; see the workers' logs above", what, text));
}

std::shared_ptr<MpiSession> MpiSession::acquire() {
  const std::lock_guard lock(session_mutex);
  std::shared_ptr<MpiSession> session = current_session.lock();
  if (!session) {
    session.reset(new MpiSession);
    current_session = session;
  }
  return session;
}

MpiSession::MpiSession() {
  if (is_finalised()) {
    throw DistributedError(
        "MPI has already ended in this process; keep one communicator for the whole command");
  }
  if (!is_initialised()) {
    // The few waits inside MPI itself (start, end) must not spin when ranks outnumber cores.
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    int provided = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    is_owner_ = true;
    if (provided < MPI_THREAD_SERIALIZED) {
      throw DistributedError(
          "this MPI library allows no calls from a second thread; use one built with thread "
          "support");
    }
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

MpiSession::~MpiSession() {
  if (!is_owner_ || is_broken_ || std::uncaught_exceptions() > 0 || is_finalised()) return;
  MPI_Finalize();
}

void MpiSession::abort(int exit_code) {
  if (!is_initialised() || is_finalised()) return;
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // MPI_Abort may return when it could not reach the launcher
}

}  // namespace podium
