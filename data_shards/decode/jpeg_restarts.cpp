// Reading and writing of coefficients by libjpeg.
#include "data_shards/decode/jpeg_restarts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "data_shards/decode/jpeg_errors.h"

namespace podium::data_shards {
namespace {

constexpr int kMostBlocksOfMcu = 10;  // of an interleaved scan, by the standard
constexpr unsigned kMostMarkerBytes = 0xffff;

// One file on its way from a decompressor to a compressor.
class Repacker {
 public:
  Repacker() {
    input_.err = errors_.install();
    output_.err = &errors_.base;
    if (setjmp(errors_.jump)) throw InternalError(std::string("libjpeg: ") + errors_.message);
    jpeg_create_decompress(&input_);
    jpeg_create_compress(&output_);
  }
  ~Repacker() {
    jpeg_destroy_compress(&output_);
    jpeg_destroy_decompress(&input_);
    std::free(bytes_);
  }
  Repacker(const Repacker&) = delete;
  Repacker& operator=(const Repacker&) = delete;

  // Both are false when libjpeg has failed.
  bool read_header(std::string_view jpeg) {
    if (setjmp(errors_.jump)) return false;
    jpeg_mem_src(&input_, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
    jpeg_save_markers(&input_, JPEG_COM, kMostMarkerBytes);
    for (int i = 0; i < 16; ++i) jpeg_save_markers(&input_, JPEG_APP0 + i, kMostMarkerBytes);
    jpeg_read_header(&input_, TRUE);
    return true;
  }
  bool write(unsigned restart_interval) {
    if (setjmp(errors_.jump)) return false;
    jvirt_barray_ptr* coefficients = jpeg_read_coefficients(&input_);
    jpeg_copy_critical_parameters(&input_, &output_);
    output_.optimize_coding = TRUE;
    output_.restart_interval = restart_interval;
    jpeg_mem_dest(&output_, &bytes_, &num_bytes_);
    jpeg_write_coefficients(&output_, coefficients);
    copy_markers();
    jpeg_finish_compress(&output_);
    jpeg_finish_decompress(&input_);
    return true;
  }

  int blocks_of_mcu() const {
    int num_blocks = 0;
    for (int i = 0; i < input_.num_components; ++i) {
      num_blocks += input_.comp_info[i].h_samp_factor * input_.comp_info[i].v_samp_factor;
    }
    return input_.num_components == 1 ? 1 : num_blocks;
  }
  // MCUs between two markers.
  unsigned interval(int max_px) const {
    const int mcu_width = DCTSIZE * (input_.num_components == 1 ? 1 : input_.max_h_samp_factor);
    const int columns = (static_cast<int>(input_.image_width) + mcu_width - 1) / mcu_width;
    int interval = std::clamp(max_px / mcu_width, 1, columns);
    while (columns % interval != 0) --interval;
    return static_cast<unsigned>(interval);
  }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(bytes_), num_bytes_}; }
  const char* message() const { return errors_.message; }

 private:
  // All but what the compressor writes by itself.
  void copy_markers() {
    const auto starts_with = [](jpeg_saved_marker_ptr marker, std::string_view name) {
      return std::string_view(reinterpret_cast<const char*>(marker->data), marker->data_length)
                 .substr(0, name.size()) == name;
    };
    for (auto* marker = input_.marker_list; marker != nullptr; marker = marker->next) {
      const bool is_jfif = output_.write_JFIF_header && marker->marker == JPEG_APP0 &&
                           starts_with(marker, std::string_view("JFIF\0", 5));
      const bool is_adobe = output_.write_Adobe_marker && marker->marker == JPEG_APP0 + 14 &&
                            starts_with(marker, "Adobe");
      if (is_jfif || is_adobe) continue;
      jpeg_write_marker(&output_, marker->marker, marker->data, marker->data_length);
    }
  }

  JpegErrors errors_{};
  jpeg_decompress_struct input_{};
  jpeg_compress_struct output_{};
  unsigned char* bytes_ = nullptr;
  unsigned long num_bytes_ = 0;
};

[[noreturn]] void fail(const Repacker& repacker) {
  throw DataError(fmt::format(
      "cannot repack the JPEG: {}; replace the file, or --on_bad_sample=skip", repacker.message()));
}

}  // namespace

std::string with_restart_markers(std::string_view jpeg, int max_px) {
  Repacker repacker;
  if (!repacker.read_header(jpeg)) fail(repacker);
  if (repacker.blocks_of_mcu() > kMostBlocksOfMcu) return std::string(jpeg);
  if (!repacker.write(repacker.interval(max_px))) fail(repacker);
  return std::string(repacker.bytes());
}

}  // namespace podium::data_shards
