// Every call of the shim against the fake library, well and badly used, for a build with sanitizers (scripts/shim.sh).
#include "../shim/weir_trt.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

int failures = 0;

void expect(bool holds, char const *what, char const *message = "") {
    if (!holds) {
        ++failures;
        std::fprintf(stderr, "exercise: %s %s\n", what, message);
    }
}

std::string const kModel = "weir-mock-plan 1\nversion 100300\ninput input float -1 3 2 2\noutput out float -1 3\n"
                           "profile input 1 3 2 2 | 4 3 2 2 | 4 3 2 2\ncompute means\n";

void run_once(weir_trt_plan *plan, char *message, size_t capacity) {
    weir_trt_context *context = weir_trt_context_new(plan, message, capacity);
    expect(context != nullptr, "no context:", message);
    if (context == nullptr) {
        return;
    }
    std::vector<float> input(4 * 12, 0.5f), output(4 * 3, 0.0f);
    for (int64_t batch = 1; batch <= 5; ++batch) {
        weir_trt_shape shape{4, {batch, 3, 2, 2}};
        int32_t const taken = weir_trt_set_shape(context, "input", &shape, message, capacity);
        expect(taken == (batch <= 4 ? 1 : 0), "a shape beyond the profile was taken, or one within refused");
    }
    weir_trt_shape nine{9, {}};
    expect(weir_trt_set_shape(context, "input", &nine, message, capacity) == 0, "nine sides were taken");
    expect(weir_trt_enqueue(context, nullptr, message, capacity) == 0, "a run without addresses was taken");
    expect(weir_trt_bind(context, "nothing", output.data(), message, capacity) == 0, "an unknown name was bound");
    weir_trt_bind(context, "input", input.data(), message, capacity);
    weir_trt_bind(context, "out", output.data(), message, capacity);
    expect(weir_trt_enqueue(context, nullptr, message, capacity) == 1, "no run:", message);
    expect(output[0] > 0.49f && output[11] < 0.51f, "the means are wrong");
    weir_trt_shape found{};
    expect(weir_trt_shape_of(context, "out", &found) == 1 && found.count == 2 && found.side[0] == 4, "a wrong shape");
    expect(weir_trt_shape_of(context, "nothing", &found) == 0, "an unknown name has a shape");
    weir_trt_context_free(context);
}

} // namespace

int main(int count, char **words) {
    if (count != 3) {
        std::fprintf(stderr, "usage: exercise LIBRARY WRONG\n");
        return 2;
    }
    char message[256];
    int32_t version = 0;
    expect(weir_trt_open("/nowhere", &version, message, sizeof message) == nullptr, "opened nothing");
    expect(weir_trt_open(words[2], &version, message, 1) == nullptr && message[0] == '\0', "one byte of message");
    expect(weir_trt_open(words[2], nullptr, nullptr, 0) == nullptr, "opened another major version");
    weir_trt_runtime *runtime = weir_trt_open(words[1], &version, message, sizeof message);
    expect(runtime != nullptr && version == 100300, "not opened:", message);
    if (runtime == nullptr) {
        return 1;
    }
    for (std::string const &bad : {std::string(), std::string("junk"), kModel + "fault unreadable\n"}) {
        expect(weir_trt_plan_new(runtime, bad.data(), bad.size(), message, sizeof message) == nullptr, "junk is a plan");
    }
    for (char const *fault : {"no-memory", "throws"}) {
        std::string const text = kModel + "fault " + fault + "\n";
        weir_trt_plan *plan = weir_trt_plan_new(runtime, text.data(), text.size(), message, sizeof message);
        expect(plan != nullptr && weir_trt_context_new(plan, message, sizeof message) == nullptr, "a context in spite of",
               fault);
        weir_trt_plan_free(plan);
    }
    weir_trt_plan *plan = weir_trt_plan_new(runtime, kModel.data(), kModel.size(), message, sizeof message);
    expect(plan != nullptr && weir_trt_tensor_count(plan) == 2, "not a plan:", message);
    weir_trt_tensor tensor{};
    expect(weir_trt_tensor_at(plan, 0, &tensor) == 1 && tensor.is_input == 1, "the first is no input");
    expect(weir_trt_tensor_at(plan, 2, &tensor) == 0 && weir_trt_tensor_at(plan, -1, &tensor) == 0, "more than there are");
    weir_trt_shape shape{};
    expect(weir_trt_profile(plan, "input", 2, &shape) == 1 && shape.side[0] == 4, "a wrong profile");
    expect(weir_trt_profile(plan, "input", 3, &shape) == 0, "a fourth shape of a profile");
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([plan] {
            char mine[256];
            for (int round = 0; round < 50; ++round) {
                run_once(plan, mine, sizeof mine);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    weir_trt_plan_free(plan);
    std::printf("exercise: %s\n", failures == 0 ? "all as it should be" : "failed");
    return failures == 0 ? 0 : 1;
}
