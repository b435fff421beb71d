// A library that behaves as TensorRT's runtime does, on plans in plain text (plan.h) and in memory of the host. Faults:
//   unreadable         the plan is refused, with a complaint
//   unreadable-silent  the plan is refused without a word
//   no-memory          no context can be had
//   throws             making a context throws an exception
//   lost-after N       after N runs the device is lost: no run is taken any more
#include "plan.h"

#include <NvInfer.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>

using namespace nvinfer1;

namespace {

constexpr int32_t kVersion = NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH;

Dims dims(std::vector<int64_t> const &sides) {
    Dims dims{};
    dims.nbDims = static_cast<int32_t>(sides.size());
    for (size_t i = 0; i < sides.size() && i < Dims::MAX_DIMS; ++i) {
        dims.d[i] = sides[i];
    }
    return dims;
}

class Context final : public IExecutionContext {
public:
    Context(std::shared_ptr<mock::Plan const> plan, ILogger &logger) : plan_(std::move(plan)), logger_(logger) {}

    bool setInputShape(char const *name, Dims const &wanted) noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        if (tensor == nullptr || !tensor->input || wanted.nbDims != static_cast<int32_t>(tensor->sides.size())) {
            return complain("no such input");
        }
        for (int32_t i = 0; i < wanted.nbDims; ++i) {
            int64_t const fixed = tensor->sides[i];
            bool const fits = fixed >= 0 ? wanted.d[i] == fixed
                                         : wanted.d[i] >= tensor->profile[0].at(i) && wanted.d[i] <= tensor->profile[2].at(i);
            if (!fits) {
                return complain("the shape lies outside the profile");
            }
        }
        input_ = wanted;
        settled_ = true;
        return true;
    }

    Dims getTensorShape(char const *name) const noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        if (tensor == nullptr) {
            Dims none{};
            none.nbDims = -1;
            return none;
        }
        Dims shape = dims(tensor->sides);
        if (tensor->input && settled_) {
            return input_;
        }
        if (settled_ && shape.nbDims > 0 && shape.d[0] < 0) {
            shape.d[0] = input_.d[0];
        }
        return shape;
    }

    bool setTensorAddress(char const *name, void *address) noexcept override {
        if (plan_->find(name) == nullptr || address == nullptr) {
            return complain("no such tensor, or no address");
        }
        addresses_[name] = address;
        return true;
    }

    bool enqueueV3(cudaStream_t) noexcept override {
        for (mock::Tensor const &tensor : plan_->tensors) {
            if (addresses_.count(tensor.name) == 0) {
                return complain("a tensor has no address");
            }
        }
        auto const lost = plan_->faults.find("lost-after");
        static std::atomic<int64_t> runs{0};
        if (lost != plan_->faults.end() && runs++ >= lost->second) {
            return complain("CUDA error 719: unspecified launch failure");
        }
        if (!settled_) {
            for (mock::Tensor const &tensor : plan_->tensors) {
                if (tensor.input) {
                    input_ = dims(tensor.sides);
                }
            }
        }
        if (plan_->compute != "nothing") {
            means(plan_->compute == "softmax-of-means");
        }
        return true;
    }

private:
    bool complain(char const *text) const noexcept {
        logger_.log(ILogger::Severity::kERROR, text);
        return false;
    }

    // The mean of each channel of the first input, as the first output.
    void means(bool softmax) noexcept {
        float const *from = nullptr;
        float *to = nullptr;
        for (mock::Tensor const &tensor : plan_->tensors) {
            if (tensor.input && from == nullptr) {
                from = static_cast<float const *>(addresses_[tensor.name]);
            } else if (!tensor.input && to == nullptr) {
                to = static_cast<float *>(addresses_[tensor.name]);
            }
        }
        int64_t const channels = input_.d[1];
        int64_t const plane = input_.d[2] * input_.d[3];
        for (int64_t item = 0; item < input_.d[0]; ++item) {
            double sum = 0.0;
            for (int64_t channel = 0; channel < channels; ++channel) {
                double total = 0.0;
                for (int64_t i = 0; i < plane; ++i) {
                    total += from[(item * channels + channel) * plane + i];
                }
                double const mean = total / static_cast<double>(plane);
                double const value = softmax ? std::exp(mean) : mean;
                to[item * channels + channel] = static_cast<float>(value);
                sum += value;
            }
            for (int64_t channel = 0; softmax && channel < channels; ++channel) {
                to[item * channels + channel] /= static_cast<float>(sum);
            }
        }
    }

    std::shared_ptr<mock::Plan const> plan_;
    ILogger &logger_;
    std::map<std::string, void *> addresses_;
    Dims input_{};
    bool settled_ = false;
};

class Engine final : public ICudaEngine {
public:
    Engine(std::shared_ptr<mock::Plan const> plan, ILogger &logger) : plan_(std::move(plan)), logger_(logger) {}

    int32_t getNbIOTensors() const noexcept override { return static_cast<int32_t>(plan_->tensors.size()); }
    char const *getIOTensorName(int32_t index) const noexcept override {
        return plan_->tensors.at(static_cast<size_t>(index)).name.c_str();
    }
    TensorIOMode getTensorIOMode(char const *name) const noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        return tensor == nullptr ? TensorIOMode::kNONE : tensor->input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
    }
    DataType getTensorDataType(char const *name) const noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        return tensor == nullptr || tensor->type == "float" ? DataType::kFLOAT
               : tensor->type == "half"                     ? DataType::kHALF
                                                            : DataType::kINT32;
    }
    Dims getTensorShape(char const *name) const noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        return tensor == nullptr ? Dims{} : dims(tensor->sides);
    }
    int32_t getNbOptimizationProfiles() const noexcept override { return 1; }
    Dims getProfileShape(char const *name, int32_t, OptProfileSelector which) const noexcept override {
        mock::Tensor const *tensor = plan_->find(name);
        return tensor == nullptr ? Dims{} : dims(tensor->profile[static_cast<int32_t>(which)]);
    }
    IExecutionContext *createExecutionContext() override {
        if (plan_->has("no-memory")) {
            logger_.log(ILogger::Severity::kERROR, "CUDA error 2: out of memory");
            return nullptr;
        }
        if (plan_->has("throws")) {
            throw std::runtime_error("thrown on purpose");
        }
        return new Context(plan_, logger_);
    }

private:
    std::shared_ptr<mock::Plan const> plan_;
    ILogger &logger_;
};

class Runtime final : public IRuntime {
public:
    explicit Runtime(ILogger &logger) : logger_(logger) {}

    ICudaEngine *deserializeCudaEngine(void const *bytes, std::size_t length) noexcept override {
        auto plan = std::make_shared<mock::Plan>();
        std::string const text(static_cast<char const *>(bytes), length);
        std::string const why = mock::parse(text, "weir-mock-plan 1", plan.get());
        if (!why.empty()) {
            return complain(why.c_str());
        }
        if (plan->version != kVersion) {
            return complain("the plan was built by another version of TensorRT");
        }
        if (plan->has("unreadable")) {
            return complain("serialization assertion failed");
        }
        if (plan->has("unreadable-silent")) {
            return nullptr;
        }
        return new Engine(plan, logger_);
    }

private:
    ICudaEngine *complain(char const *text) {
        logger_.log(ILogger::Severity::kERROR, text);
        return nullptr;
    }

    ILogger &logger_;
};

} // namespace

extern "C" {

int32_t getInferLibVersion() noexcept { return kVersion; }

void *createInferRuntime_INTERNAL(void *logger, int32_t) noexcept {
    return static_cast<IRuntime *>(new Runtime(*static_cast<ILogger *>(logger)));
}

} // extern "C"
