#include "trainer/losses/loss.h"

#include "trainer/losses/loss_table.h"

namespace podium::trainer {

std::unique_ptr<Loss> make_loss(const PartSpec& loss) {
  return loss_table().at(loss.name).create(loss);
}

}  // namespace podium::trainer
