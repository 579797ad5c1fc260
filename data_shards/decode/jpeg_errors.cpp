// Callbacks for libjpeg.
#include "data_shards/decode/jpeg_errors.h"

#include <jerror.h>

namespace podium::data_shards {
namespace {

// Warnings that say nothing about the pixels.
bool is_harmless(int code) { return code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM; }

[[noreturn]] void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level < 0 && !is_harmless(info->err->msg_code)) on_error(info);
}

}  // namespace

jpeg_error_mgr* JpegErrors::install() {
  jpeg_std_error(&base);
  base.error_exit = &on_error;
  base.emit_message = &on_message;
  return &base;
}

}  // namespace podium::data_shards
