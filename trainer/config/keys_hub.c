/* Keys of the Hugging Face Hub. */
#include "trainer/config/keys.h"

#define NO_HUB "this version does not reach the Hub; upload output_dir yourself, and leave it out"

static const Key keys[] = {
    LATER("push_to_hub", BOOL, "false", "Upload on save and at the end.", NO_HUB),
    LATER("hub_model_id", TEXT, NULL, "Repository to upload to.", NO_HUB),
    LATER("hub_strategy", TEXT, "every_save", "What to upload.", NO_HUB),
    LATER("hub_token", TEXT, NULL, "Token for the upload.", NO_HUB),
    LATER("hub_private_repo", TRI, NULL, "Visibility of a new repository.", NO_HUB),
    LATER("hub_always_push", BOOL, "false", "Wait for an unfinished upload.", NO_HUB),
    LATER("hub_revision", TEXT, NULL, "Branch to commit to.", NO_HUB),
    LATER("token", TEXT, NULL, "Token for downloads.",
          "this version does not reach the Hub; give local directories, and leave it out"),
    LATER("model_revision", TEXT, "main", "Branch, tag or commit of the model.",
          "this version does not reach the Hub; give the directory of that revision in model_name_or_path"),
    REFUSED("trust_remote_code", BOOL, "false", "Run Python shipped with a model.",
            "hone never runs Python code from a repository"),
};
KEY_GROUP(hub, "Hub");
