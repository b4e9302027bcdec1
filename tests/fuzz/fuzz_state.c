/* links: callbacks */
/* Any bytes as a trainer_state.json are refused with a line, or give a state that is written and read as the same. */
#include "tests/fuzz/fuzz.h"
#include "trainer/callbacks/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    TrainerState s, again;
    LogEntry e;
    Text once = {0}, twice = {0};
    state_init(&s);
    state_init(&again);
    if (state_parse(&s, (const char *)data, size, "trainer_state.json") != OK) {
        FUZZ_CHECK(*status_message() && !state_log_count(&s));
    } else {
        for (size_t i = 0; i < state_log_count(&s); i++) {
            state_log_get(&s, i, &e);
            FUZZ_CHECK(e.count >= 0 && e.count <= LOG_ENTRY_VALUES && !e.overflow);
        }
        FUZZ_CHECK(state_to_text(&s, &once) == OK);
        if (state_parse(&again, once.data, once.size, "again") != OK) {
            fprintf(stderr, "%s\n%s\n", once.data, status_message());
            abort();
        }
        FUZZ_CHECK(state_to_text(&again, &twice) == OK && !strcmp(once.data, twice.data));
        const int64_t step = s.global_step / 2;
        state_cut(&s, step);
        for (size_t i = 0; i < state_log_count(&s); i++) {
            state_log_get(&s, i, &e);
            FUZZ_CHECK(!(logentry_get(&e, "step", 0) > (double)step));
        }
    }
    state_free(&s), state_free(&again);
    text_free(&once), text_free(&twice);
    return 0;
}
