/* training_curves.svg: the run as a picture: loss (training, evaluation) above, learning rate below. */
#ifndef HONE_CALLBACKS_CURVES_SVG_H
#define HONE_CALLBACKS_CURVES_SVG_H

#include "trainer/base/json.h"
#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

/* Draws log_history ("loss", "eval_loss", "learning_rate" over "step"); other entries are not looked at. Values that
 * are not finite are gaps; long histories are thinned to what a picture can show (lowest and highest of each column
 * stay). title: the model's name. */
Status curves_text(const TrainerState *s, const char *title, Text *out);
Status curves_write(const TrainerState *s, const char *title, const char *path);

#endif
