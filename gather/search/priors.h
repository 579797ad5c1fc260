// What a model that has learnt nothing reaches: the score of always giving the class frequencies.
#pragma once

#include <vector>

#include "gather/search/scorer_table.h"
#include "gather/sets/join.h"

namespace podium::gather {

// Share of positives among the known samples (or pixels) of each class: the average precision of a
// random ranking. (K)
std::vector<double> class_priors(const OofTable& table);

// The `prior` of the scorers.
double map_prior(const ScorerRow& row, const OofTable& table);       // mean prevalence
double accuracy_prior(const ScorerRow& row, const OofTable& table);  // the largest class
// Single label: the largest class; multi-label: every sample is decided positive.
double macro_f1_prior(const ScorerRow& row, const OofTable& table);
double mask_prior(const ScorerRow& row, const OofTable& table);  // the best constant answer

}  // namespace podium::gather
