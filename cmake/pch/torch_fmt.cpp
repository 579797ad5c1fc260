// The out-of-line half of the {fmt} that libtorch ships. Its headers come before the system's wherever libtorch's do, and its
// version (its inline namespace) is another one, so the system's libfmt does not have these functions; libtorch keeps its own hidden.
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
template void detail::buffer<char>::append(const char*, const char*);
template auto detail::thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template auto detail::decimal_point_impl(locale_ref) -> char;
template auto detail::dragonbox::to_decimal(float) noexcept -> dragonbox::decimal_fp<float>;
template auto detail::dragonbox::to_decimal(double) noexcept -> dragonbox::decimal_fp<double>;
FMT_END_NAMESPACE
