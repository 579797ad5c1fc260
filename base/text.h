// Small text helpers shared by parsers and messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace podium {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string trim(std::string_view text);
std::string lower(std::string_view text);

// Whole-string parses: no leftover characters, locale independent; nullopt otherwise.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

// The candidate with the smallest edit distance (Damerau-Levenshtein), or "" when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);
// " (did you mean \"x\"?)" or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

// Shortest decimal text that reads back to the same double / float (std::to_chars).
std::string shortest(double value);
std::string shortest(float value);

// "12.3 MB", "1m 05s": for people, never for files.
std::string human_bytes(uint64_t num_bytes);
std::string human_seconds(double seconds);

}  // namespace podium
