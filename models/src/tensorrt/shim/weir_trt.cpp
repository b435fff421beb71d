// The runtime half of TensorRT behind plain C. Uses only what headers 10.0 to 11 have in common: deserialise, ask for
// tensors and profiles, settle shapes, set addresses, enqueue. The library itself is opened at run time.
#include "weir_trt.h"

#include <NvInfer.h>

#include <dlfcn.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>

using nvinfer1::Dims;
using nvinfer1::ICudaEngine;
using nvinfer1::IExecutionContext;
using nvinfer1::ILogger;
using nvinfer1::IRuntime;
using nvinfer1::OptProfileSelector;
using nvinfer1::TensorIOMode;

namespace {

// Keeps what TensorRT last complained of, so that an error can say why. Its threads may log at any time.
class Complaints final : public ILogger {
public:
    void log(Severity severity, char const *text) noexcept override {
        if (severity > Severity::kERROR || text == nullptr) {
            return;
        }
        try {
            std::lock_guard<std::mutex> guard(mutex_);
            if (said_.size() < kMost) {
                said_.append(said_.empty() ? "" : "; ").append(text, strnlen_(text, kMost));
            }
        } catch (...) {
            // Out of memory: the error will say less.
        }
    }

    // What was said since the last time.
    std::string take() {
        std::lock_guard<std::mutex> guard(mutex_);
        std::string said;
        said.swap(said_);
        return said;
    }

private:
    static constexpr size_t kMost = 1024;

    static size_t strnlen_(char const *text, size_t most) noexcept {
        size_t length = 0;
        while (length < most && text[length] != '\0') {
            ++length;
        }
        return length;
    }

    std::mutex mutex_;
    std::string said_;
};

void tell(char *message, size_t capacity, std::string const &text) noexcept {
    if (message != nullptr && capacity > 0) {
        std::snprintf(message, capacity, "%s", text.c_str());
    }
}

// Runs `work`; an exception becomes a message.
template <typename Result, typename Work>
Result fenced(Result failed, char *message, size_t capacity, Work work) noexcept {
    try {
        return work();
    } catch (std::exception const &error) {
        tell(message, capacity, error.what());
    } catch (...) {
        tell(message, capacity, "an exception without a name");
    }
    return failed;
}

bool to_plain(Dims const &from, weir_trt_shape *to) noexcept {
    if (to == nullptr || from.nbDims < 0 || from.nbDims > WEIR_TRT_MAX_DIMS) {
        return false;
    }
    *to = weir_trt_shape{};
    to->count = from.nbDims;
    for (int32_t i = 0; i < from.nbDims; ++i) {
        to->side[i] = static_cast<int64_t>(from.d[i]);
    }
    return true;
}

std::string last_of_dlopen() {
    char const *error = dlerror();
    return error == nullptr ? "the loader says nothing more" : error;
}

} // namespace

struct weir_trt_runtime {
    Complaints complaints;
    IRuntime *runtime = nullptr;
};

struct weir_trt_plan {
    weir_trt_runtime *owner = nullptr;
    std::unique_ptr<ICudaEngine> engine;
};

struct weir_trt_context {
    weir_trt_runtime *owner = nullptr;
    std::unique_ptr<IExecutionContext> context;
};

namespace {

// A sentence with what TensorRT complained of.
std::string because(weir_trt_runtime *runtime, char const *what) {
    std::string const said = runtime->complaints.take();
    return said.empty() ? std::string(what) + ", and TensorRT does not say why" : std::string(what) + ": " + said;
}

} // namespace

extern "C" {

int32_t weir_trt_major(void) { return NV_TENSORRT_MAJOR; }

weir_trt_runtime *weir_trt_open(char const *path, int32_t *version, char *message, size_t capacity) {
    return fenced<weir_trt_runtime *>(nullptr, message, capacity, [&]() -> weir_trt_runtime * {
        dlerror();
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            tell(message, capacity, last_of_dlopen());
            return nullptr;
        }
        // Never closed from here on, not even where it is refused: its own threads may be running.
        auto ask = reinterpret_cast<int32_t (*)()>(dlsym(library, "getInferLibVersion"));
        auto create = reinterpret_cast<void *(*)(void *, int32_t)>(dlsym(library, "createInferRuntime_INTERNAL"));
        if (ask == nullptr || create == nullptr) {
            tell(message, capacity, std::string(path) + " is not TensorRT: it has no createInferRuntime_INTERNAL");
            return nullptr;
        }
        int32_t const found = ask();
        // Before 10 the major version counted a thousand.
        int32_t const major = found < 10000 ? found / 1000 : found / 10000;
        if (version != nullptr) {
            *version = found;
        }
        if (major != NV_TENSORRT_MAJOR) {
            tell(message, capacity,
                 std::string(path) + " is TensorRT " + std::to_string(major) + ", and this program was built for " +
                     std::to_string(NV_TENSORRT_MAJOR));
            return nullptr;
        }
        auto opened = std::make_unique<weir_trt_runtime>();
        opened->runtime = static_cast<IRuntime *>(create(static_cast<ILogger *>(&opened->complaints), found));
        if (opened->runtime == nullptr) {
            tell(message, capacity, because(opened.get(), "TensorRT gives no runtime"));
            // The logger may still be known to the library.
            opened.release();
            return nullptr;
        }
        return opened.release();
    });
}

weir_trt_plan *weir_trt_plan_new(weir_trt_runtime *runtime, void const *bytes, size_t length, char *message,
                                 size_t capacity) {
    return fenced<weir_trt_plan *>(nullptr, message, capacity, [&]() -> weir_trt_plan * {
        runtime->complaints.take();
        auto plan = std::make_unique<weir_trt_plan>();
        plan->owner = runtime;
        plan->engine.reset(runtime->runtime->deserializeCudaEngine(bytes, length));
        if (plan->engine == nullptr) {
            tell(message, capacity, because(runtime, "the plan cannot be read"));
            return nullptr;
        }
        return plan.release();
    });
}

void weir_trt_plan_free(weir_trt_plan *plan) { delete plan; }

int32_t weir_trt_tensor_count(weir_trt_plan const *plan) { return plan->engine->getNbIOTensors(); }

int32_t weir_trt_tensor_at(weir_trt_plan const *plan, int32_t index, weir_trt_tensor *tensor) {
    if (index < 0 || index >= plan->engine->getNbIOTensors()) {
        return 0;
    }
    char const *name = plan->engine->getIOTensorName(index);
    if (name == nullptr) {
        return 0;
    }
    tensor->name = name;
    tensor->is_input = plan->engine->getTensorIOMode(name) == TensorIOMode::kINPUT ? 1 : 0;
    tensor->type = static_cast<int32_t>(plan->engine->getTensorDataType(name));
    return to_plain(plan->engine->getTensorShape(name), &tensor->shape) ? 1 : 0;
}

int32_t weir_trt_profile(weir_trt_plan const *plan, char const *name, int32_t which, weir_trt_shape *shape) {
    if (which < 0 || which > 2 || plan->engine->getNbOptimizationProfiles() < 1) {
        return 0;
    }
    Dims const dims = plan->engine->getProfileShape(name, 0, static_cast<OptProfileSelector>(which));
    return to_plain(dims, shape) ? 1 : 0;
}

weir_trt_context *weir_trt_context_new(weir_trt_plan *plan, char *message, size_t capacity) {
    return fenced<weir_trt_context *>(nullptr, message, capacity, [&]() -> weir_trt_context * {
        plan->owner->complaints.take();
        auto context = std::make_unique<weir_trt_context>();
        context->owner = plan->owner;
        context->context.reset(plan->engine->createExecutionContext());
        if (context->context == nullptr) {
            tell(message, capacity, because(plan->owner, "the plan cannot be prepared to run"));
            return nullptr;
        }
        return context.release();
    });
}

void weir_trt_context_free(weir_trt_context *context) { delete context; }

int32_t weir_trt_set_shape(weir_trt_context *context, char const *name, weir_trt_shape const *shape, char *message,
                           size_t capacity) {
    return fenced<int32_t>(0, message, capacity, [&]() -> int32_t {
        if (shape->count < 0 || shape->count > Dims::MAX_DIMS) {
            tell(message, capacity, "a tensor has at most 8 sides");
            return 0;
        }
        Dims dims{};
        dims.nbDims = shape->count;
        for (int32_t i = 0; i < shape->count; ++i) {
            dims.d[i] = shape->side[i];
        }
        if (!context->context->setInputShape(name, dims)) {
            tell(message, capacity, because(context->owner, "the plan does not take this shape"));
            return 0;
        }
        return 1;
    });
}

int32_t weir_trt_shape_of(weir_trt_context const *context, char const *name, weir_trt_shape *shape) {
    return to_plain(context->context->getTensorShape(name), shape) ? 1 : 0;
}

int32_t weir_trt_bind(weir_trt_context *context, char const *name, void *address, char *message, size_t capacity) {
    return fenced<int32_t>(0, message, capacity, [&]() -> int32_t {
        if (!context->context->setTensorAddress(name, address)) {
            tell(message, capacity, because(context->owner, "the plan does not take this address"));
            return 0;
        }
        return 1;
    });
}

int32_t weir_trt_enqueue(weir_trt_context *context, void *stream, char *message, size_t capacity) {
    return fenced<int32_t>(0, message, capacity, [&]() -> int32_t {
        if (!context->context->enqueueV3(static_cast<cudaStream_t>(stream))) {
            tell(message, capacity, because(context->owner, "the run was not taken"));
            return 0;
        }
        return 1;
    });
}

} // extern "C"
