// The commands by area; all_commands() in commands.cpp lists them.
#pragma once

#include "launcher/cli/command.h"

namespace podium::launcher {

Command pack_command();  // data_commands.cpp
Command verify_command();
Command split_command();
Command train_command();  // train_commands.cpp
Command predict_command();
Command launch_command();   // launch_command.cpp
Command sweep_command();    // sweep_command.cpp
Command gather_command();   // gather_command.cpp
Command rerun_command();    // rerun_command.cpp
Command models_command();   // models_command.cpp
Command forward_command();  // forward_command.cpp
Command convert_command();
Command demo_command();  // demo_command.cpp
Command show_command();  // show_command.cpp

// A flag that several commands share.
FlagUse data_flag();
FlagUse device_flag();
FlagUse loader_threads_flag();
FlagUse on_bad_sample_flag();
FlagUse timeout_flag();

}  // namespace podium::launcher
