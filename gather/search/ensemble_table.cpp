// The rows; each search has a file of its own.
#include "gather/search/ensemble_table.h"

namespace podium::gather {

const Table<EnsembleRow>& ensemble_table() {
  static const Table<EnsembleRow> table(
      "ensemble", "ensembles",
      {{{.name = "mean", .help = "every model once"}, choose_all},
       {{.name = "best", .help = "the best one"}, choose_best},
       {{.name = "greedy",
         .help = "selection with replacement",
         .parameters = Schema().add_int("greedy_rounds", 25, "", 1, 1e6,
                                        "Additions that the greedy selection tries.")},
        choose_greedily}});
  return table;
}

}  // namespace podium::gather
