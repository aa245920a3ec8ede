// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Where libtorch's versions and devices differ, for the plug-in: warnings, autocast, and what a GPU needs
// beyond ATen: one stream a slot, made current while the slot runs, and a wait that sleeps instead of
// spinning, because decoders want the cores. Compiled against a libtorch for CPUs, or without CUDA's own
// headers, the latter does nothing.
#ifndef FM_INFER_TORCH_DEVICE_HPP
#define FM_INFER_TORCH_DEVICE_HPP

#include <ATen/autocast_mode.h>
#include <torch/script.h>
#include <torch/version.h>

#include <optional>

#if FM_TORCH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#define FM_TORCH_AT_LEAST(major, minor)                                                                      \
    (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace fm
{

class Silence : public c10::WarningHandler
{
#if FM_TORCH_AT_LEAST(2, 0)
    void process(const c10::Warning &) override
    {
    }
#else
    void process(const c10::SourceLocation &, const std::string &, const bool) override
    {
    }
#endif
};

// libtorch prints its warnings on stderr, where a library has no business.
inline void silence_warnings()
{
    static Silence silence;
#if FM_TORCH_AT_LEAST(2, 0)
    c10::WarningUtils::set_warning_handler(&silence);
#else
    c10::Warning::set_warning_handler(&silence);
#endif
}

// A lower precision for the operators that stand it, in this thread, as long as it lives. kFloat: none.
class Autocast
{
  public:
    Autocast(const c10::Device &device, at::ScalarType type) : device_(device), type_(type)
    {
        set(type != at::kFloat);
        at::autocast::increment_nesting();
    }
    ~Autocast()
    {
        if (at::autocast::decrement_nesting() == 0) {
            at::autocast::clear_cache();
        }
        set(false);
    }
    Autocast(const Autocast &) = delete;
    Autocast &operator=(const Autocast &) = delete;

  private:
    void set(bool is_on)
    {
#if FM_TORCH_AT_LEAST(2, 4)
        at::autocast::set_autocast_enabled(device_.type(), is_on);
        if (is_on) {
            at::autocast::set_autocast_dtype(device_.type(), type_);
        }
#else
        if (device_.is_cuda()) {
            at::autocast::set_enabled(is_on);
            at::autocast::set_autocast_gpu_dtype(is_on ? type_ : at::kHalf);
        } else {
            at::autocast::set_cpu_enabled(is_on);
            at::autocast::set_autocast_cpu_dtype(is_on ? type_ : at::kBFloat16);
        }
#endif
    }

    c10::Device device_;
    at::ScalarType type_;
};

class Stream
{
  public:
#if FM_TORCH_CUDA
    explicit Stream(const c10::Device &device) : device_(device)
    {
        if (device.is_cuda()) {
            stream_.emplace(c10::cuda::getStreamFromPool(false, device.index()));
            event_.emplace(cudaEventDisableTiming | cudaEventBlockingSync);
        }
    }

    template <class Work> void run(const Work &work)
    {
        if (!stream_) {
            work();
            return;
        }
        c10::cuda::CUDAStreamGuard guard(*stream_);
        work();
        event_->record(*stream_);
        event_->synchronize();
    }

  private:
    c10::Device device_;
    std::optional<c10::cuda::CUDAStream> stream_;
    std::optional<at::cuda::CUDAEvent> event_;
#else
    explicit Stream(const c10::Device &)
    {
    }

    template <class Work> void run(const Work &work)
    {
        work();
    }
#endif
};

// Memory that a failed allocation may have left in the cache goes back to the device.
inline void empty_cuda_cache()
{
#if FM_TORCH_CUDA
    c10::cuda::CUDACachingAllocator::emptyCache();
#endif
}

// What the caching allocator has of a device; false without CUDA's headers.
inline bool cuda_memory(const c10::Device &device, uint64_t *allocated, uint64_t *reserved, uint64_t *peak)
{
#if FM_TORCH_CUDA
    const auto stats =
        c10::cuda::CUDACachingAllocator::getDeviceStats(device.has_index() ? device.index() : 0);
    // The first of each is the sum over the allocator's pools, in every libtorch since 1.4.
    *allocated = static_cast<uint64_t>(stats.allocated_bytes[0].current);
    *reserved = static_cast<uint64_t>(stats.reserved_bytes[0].current);
    *peak = static_cast<uint64_t>(stats.allocated_bytes[0].peak);
    return true;
#else
    (void)device;
    (void)allocated;
    (void)reserved;
    (void)peak;
    return false;
#endif
}

} // namespace fm

#endif
