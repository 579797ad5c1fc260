#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {

// Each in the file of its name.
double constant_rate(const PartSpec& schedule, double base_lr, double share);
double cosine_rate(const PartSpec& schedule, double base_lr, double share);
double polynomial_rate(const PartSpec& schedule, double base_lr, double share);

namespace {

// Of schedules that fall.
Schema end_keys() {
  return Schema().add_float("min_lr", 0.0, "per step", 0, 1e30, "learning rate at the end");
}

}  // namespace

const Table<ScheduleRow>& schedule_table() {
  static const Table<ScheduleRow> table(
      "schedule", "schedules",
      {
          {{.name = "constant", .help = "optimizer.lr all the time"}, constant_rate},
          {{.name = "cosine",
            .help = "from optimizer.lr to min_lr along half a cosine",
            .parameters = end_keys()},
           cosine_rate},
          {{.name = "polynomial",
            .help = "from optimizer.lr to min_lr as a power of the share that is left",
            .parameters = end_keys().add_float("power", 1.0, "", 0, 100,
                                               "exponent of that share; 1: a straight line"),
            .since = "0.2"},
           polynomial_rate},
      });
  return table;
}

}  // namespace podium::trainer
