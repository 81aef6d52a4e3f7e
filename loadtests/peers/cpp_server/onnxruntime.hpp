// The part of ONNX Runtime's C API that the server calls.
//
// No package brings the header, so the table of functions is declared here by position. The order
// is an ABI: the runtime promises that a version of the table never changes and that new functions
// come after the old, and asserts it when it is built. Version 1 is asked for, whose table ends
// before position 102. The first answer of every run is compared with scikit-learn's, so a wrong
// position could not go unnoticed.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace onnx {

struct ApiBase {
    void *const *(*table)(uint32_t version);
    const char *(*version)();
};

enum class Element : int { kFloat = 1, kInt64 = 7 };

enum Position : size_t {
    kGetErrorMessage = 2,
    kCreateEnv = 3,
    kCreateSession = 7,
    kRun = 9,
    kCreateSessionOptions = 10,
    kSetIntraOpNumThreads = 24,
    kSetInterOpNumThreads = 25,
    kSessionGetInputCount = 30,
    kSessionGetOutputCount = 31,
    kSessionGetInputName = 36,
    kSessionGetOutputName = 37,
    kCreateTensorWithDataAsOrtValue = 49,
    kGetTensorMutableData = 51,
    kGetTensorElementType = 60,
    kGetDimensionsCount = 61,
    kGetDimensions = 62,
    kGetTensorTypeAndShape = 65,
    kCreateCpuMemoryInfo = 69,
    kGetAllocatorWithDefaultOptions = 78,
    kReleaseStatus = 93,
    kReleaseValue = 96,
    kReleaseTensorTypeAndShapeInfo = 99,
};

// An output, valid until its `Outputs` ends.
struct Output {
    const std::string *name;
    Element element;
    std::vector<int64_t> shape;
    const void *data;
    size_t count;
};

class Session {
  public:
    Session(const char *library, const char *model) {
        void *handle = dlopen(library, RTLD_NOW);
        if (handle == nullptr) throw std::runtime_error(dlerror());
        auto base = reinterpret_cast<const ApiBase *(*)()>(dlsym(handle, "OrtGetApiBase"))();
        table_ = base->table(1);
        if (table_ == nullptr) throw std::runtime_error("the runtime has no API of version 1");
        void *environment = nullptr, *options = nullptr;
        call(kCreateEnv, 3, "server", &environment);
        call(kCreateSessionOptions, &options);
        call(kSetIntraOpNumThreads, options, 1);
        call(kSetInterOpNumThreads, options, 1);
        call(kCreateSession, environment, model, options, &session_);
        call(kCreateCpuMemoryInfo, 1, 0, &memory_);
        call(kGetAllocatorWithDefaultOptions, &allocator_);
        inputs_ = names(kSessionGetInputCount, kSessionGetInputName);
        outputs_ = names(kSessionGetOutputCount, kSessionGetOutputName);
        for (const auto &name : outputs_) output_names_.push_back(name.c_str());
    }

    const std::string &input() const { return inputs_.front(); }

    // Runs the model on one float tensor and hands each output to `take`.
    template <typename Take>
    void run(float *data, size_t count, const std::vector<int64_t> &shape, Take take) const {
        void *input = nullptr;
        call(kCreateTensorWithDataAsOrtValue, memory_, data, count * sizeof(float), shape.data(),
             shape.size(), static_cast<int>(Element::kFloat), &input);
        const char *name = inputs_.front().c_str();
        std::vector<void *> values(outputs_.size(), nullptr);
        void *status = invoke(kRun, session_, nullptr, &name, &input, size_t{1},
                              output_names_.data(), output_names_.size(), values.data());
        release(kReleaseValue, input);
        check(status);
        for (size_t i = 0; i < values.size(); ++i) {
            take(describe(outputs_[i], values[i]));
            release(kReleaseValue, values[i]);
        }
    }

  private:
    template <typename... Arguments>
    void *invoke(Position position, Arguments... arguments) const {
        return reinterpret_cast<void *(*)(Arguments...)>(table_[position])(arguments...);
    }

    template <typename... Arguments>
    void call(Position position, Arguments... arguments) const {
        check(invoke(position, arguments...));
    }

    void release(Position position, void *object) const {
        reinterpret_cast<void (*)(void *)>(table_[position])(object);
    }

    void check(void *status) const {
        if (status == nullptr) return;
        std::string message = reinterpret_cast<const char *(*)(void *)>(table_[kGetErrorMessage])(status);
        release(kReleaseStatus, status);
        throw std::runtime_error(message);
    }

    std::vector<std::string> names(Position count_at, Position name_at) const {
        size_t count = 0;
        call(count_at, session_, &count);
        std::vector<std::string> found;
        for (size_t i = 0; i < count; ++i) {
            char *name = nullptr;  // small, and kept for the life of the process
            call(name_at, session_, i, allocator_, &name);
            found.emplace_back(name);
        }
        return found;
    }

    Output describe(const std::string &name, void *value) const {
        void *info = nullptr, *data = nullptr;
        int element = 0;
        size_t dimensions = 0;
        call(kGetTensorTypeAndShape, value, &info);
        call(kGetTensorElementType, info, &element);
        call(kGetDimensionsCount, info, &dimensions);
        std::vector<int64_t> shape(dimensions);
        call(kGetDimensions, info, shape.data(), dimensions);
        release(kReleaseTensorTypeAndShapeInfo, info);
        call(kGetTensorMutableData, value, &data);
        size_t count = 1;
        for (int64_t size : shape) count *= static_cast<size_t>(size);
        return {&name, static_cast<Element>(element), std::move(shape), data, count};
    }

    void *const *table_ = nullptr;
    void *session_ = nullptr, *memory_ = nullptr, *allocator_ = nullptr;
    std::vector<std::string> inputs_, outputs_;
    std::vector<const char *> output_names_;
};

}  // namespace onnx
