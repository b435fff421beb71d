// What Weir needs of TensorRT's runtime, as plain C. No exception crosses these calls; each that can fail writes a
// sentence into `message` (`capacity` bytes, always ended by a zero) and gives null or 0.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define WEIR_TRT_MAX_DIMS 8

#ifdef __cplusplus
extern "C" {
#endif

/// The loaded library. Lives as long as the process: unloading it with a device in use is not safe.
typedef struct weir_trt_runtime weir_trt_runtime;
/// A plan made ready. Several contexts may use it at once.
typedef struct weir_trt_plan weir_trt_plan;
/// What one thread runs a plan with.
typedef struct weir_trt_context weir_trt_context;

/// Sides of a tensor; -1 where it is not settled.
typedef struct {
    int32_t count;
    int64_t side[WEIR_TRT_MAX_DIMS];
} weir_trt_shape;

/// A tensor that goes in or comes out.
typedef struct {
    const char *name;   // lives as long as the plan
    int32_t is_input;
    int32_t type;       // TensorRT's DataType
    weir_trt_shape shape;
} weir_trt_tensor;

/// The major version that this file was compiled against.
int32_t weir_trt_major(void);

/// Opens the library at `path`. Refuses another major version. `version` = major * 10000 + minor * 100 + patch.
weir_trt_runtime *weir_trt_open(const char *path, int32_t *version, char *message, size_t capacity);

/// Makes a plan ready. Not to be called by two threads at once.
weir_trt_plan *weir_trt_plan_new(weir_trt_runtime *runtime, const void *bytes, size_t length, char *message,
                                 size_t capacity);
void weir_trt_plan_free(weir_trt_plan *plan);

/// Tensors of the plan; `weir_trt_tensor_at` gives 0 beyond the last.
int32_t weir_trt_tensor_count(const weir_trt_plan *plan);
int32_t weir_trt_tensor_at(const weir_trt_plan *plan, int32_t index, weir_trt_tensor *tensor);

/// The shape of an input in the plan's first profile; `which`: 0 least, 1 best, 2 largest. 0 where there is none.
int32_t weir_trt_profile(const weir_trt_plan *plan, const char *name, int32_t which, weir_trt_shape *shape);

weir_trt_context *weir_trt_context_new(weir_trt_plan *plan, char *message, size_t capacity);
void weir_trt_context_free(weir_trt_context *context);

/// Settles the shape of an input.
int32_t weir_trt_set_shape(weir_trt_context *context, const char *name, const weir_trt_shape *shape, char *message,
                           size_t capacity);
/// The shape of any tensor, once those of the inputs are settled.
int32_t weir_trt_shape_of(const weir_trt_context *context, const char *name, weir_trt_shape *shape);
/// Where a tensor lies, in memory of the device.
int32_t weir_trt_bind(weir_trt_context *context, const char *name, void *address, char *message, size_t capacity);
/// Queues one run on a CUDA stream.
int32_t weir_trt_enqueue(weir_trt_context *context, void *stream, char *message, size_t capacity);

#ifdef __cplusplus
}
#endif
