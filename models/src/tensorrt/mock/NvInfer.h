// As much of TensorRT's interface as Weir's shim uses, in our own words, for a fake library: with it everything that
// surrounds a plan can be tried where there is no GPU. Never part of a release.
#pragma once
#include <cstddef>
#include <cstdint>

#ifndef NV_TENSORRT_MAJOR
#define NV_TENSORRT_MAJOR 10
#endif
#define NV_TENSORRT_MINOR 3
#define NV_TENSORRT_PATCH 0

struct CUstream_st;
typedef CUstream_st *cudaStream_t;

namespace nvinfer1 {

enum class DataType : int32_t { kFLOAT = 0, kHALF = 1, kINT8 = 2, kINT32 = 3 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };

struct Dims {
    static constexpr int32_t MAX_DIMS = 8;
    int32_t nbDims;
    int64_t d[MAX_DIMS];
};

class ILogger {
public:
    enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
    virtual void log(Severity severity, char const *text) noexcept = 0;
    virtual ~ILogger() = default;
};

class IExecutionContext {
public:
    virtual ~IExecutionContext() noexcept = default;
    virtual bool setInputShape(char const *name, Dims const &dims) noexcept = 0;
    virtual Dims getTensorShape(char const *name) const noexcept = 0;
    virtual bool setTensorAddress(char const *name, void *address) noexcept = 0;
    virtual bool enqueueV3(cudaStream_t stream) noexcept = 0;
};

class ICudaEngine {
public:
    virtual ~ICudaEngine() noexcept = default;
    virtual int32_t getNbIOTensors() const noexcept = 0;
    virtual char const *getIOTensorName(int32_t index) const noexcept = 0;
    virtual TensorIOMode getTensorIOMode(char const *name) const noexcept = 0;
    virtual DataType getTensorDataType(char const *name) const noexcept = 0;
    virtual Dims getTensorShape(char const *name) const noexcept = 0;
    virtual int32_t getNbOptimizationProfiles() const noexcept = 0;
    virtual Dims getProfileShape(char const *name, int32_t profile, OptProfileSelector which) const noexcept = 0;
    // The real one promises not to throw; the fake one may, to try the fence.
    virtual IExecutionContext *createExecutionContext() = 0;
};

class IRuntime {
public:
    virtual ~IRuntime() noexcept = default;
    virtual ICudaEngine *deserializeCudaEngine(void const *bytes, std::size_t length) noexcept = 0;
};

} // namespace nvinfer1
