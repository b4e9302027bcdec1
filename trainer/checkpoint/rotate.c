/* Which checkpoints stay. By serial, of this run only: not by file time, name or step (transformers went wrong with
 * each of these at some time: #11748, #25129, #27138, #37260, #35782). Called after the newest is on disk, so the one
 * resumed from, which has a smaller serial, needs no protection of its own any more. */
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

Status rotate(CheckpointStore *store, Arena *arena, int64_t best_step)
{
    Status st = OK;
    Listed *list;
    size_t count, kept = 0, n = 0;
    bool best_is_there = false;
    if (store->save_total_limit <= 0) return OK;
    size_t limit = (size_t)store->save_total_limit;
    TRY(list_checkpoints(arena, store->dir, &list, &count));
    for (size_t i = 0; i < count; i++) {
        if (list[i].damage != OK || strcmp(list[i].manifest.run_id, store->run_id) != 0) continue;
        list[n++] = list[i];
        best_is_there |= best_step >= 0 && list[i].manifest.step == best_step;
    }
    if (limit == 1 && best_is_there && n && list[0].manifest.step != best_step) limit = 2; /* beside the newest */
    bool best_kept = !best_is_there;
    for (size_t i = 0; i < n; i++) {
        bool is_best = best_step >= 0 && list[i].manifest.step == best_step;
        size_t reserved = best_kept || is_best ? 0 : 1; /* the best's place within the limit */
        if (is_best || kept + reserved < limit) {
            kept++;
            best_kept |= is_best;
        } else {
            TRY(trash(arena, store->dir, list[i].name));
            log_info("removed %s/%s (save_total_limit: %lld)", store->dir, list[i].name,
                     (long long)store->save_total_limit);
        }
    }
done:
    return st;
}
