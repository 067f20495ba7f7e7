/* ioctl(2): KVM's and the firmware driver's, on descriptors that are the model's or a real /dev/kvm. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "device.h"
#include "kvm_numbers.h"
#include "objects.h"
#include "process.h"
#include "real_calls.h"

static int dispatch(int fd, uint32_t request, uint64_t argument) {
  struct object *object;
  /* Looking at a descriptor must leave errno alone: a successful ioctl does. */
  int saved = errno;
  enum object_class class = objects_classify(fd, &object);
  errno = saved;
  switch (class) {
  case CLASS_SYSTEM: return device_system_ioctl(fd, false, request, argument);
  case CLASS_SYSTEM_STAND_IN: return device_system_ioctl(fd, true, request, argument);
  case CLASS_UNKNOWN: return device_unknown_ioctl(fd, request, argument);
  case CLASS_OBJECT:
    return object->kind == OBJECT_MACHINE ? device_machine_ioctl(fd, object, request, argument)
                                          : device_vcpu_ioctl(fd, object, request, argument);
  case CLASS_OTHER: break;
  }
  return device_pass(fd, request, argument);
}

EXPORTED int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  /* The kernel looks at 32 bits; some callers extend the sign. */
  if (!device_knows((uint32_t)request) || !process_is_enabled()) return real()->ioctl(fd, request, argument);
  int status = dispatch(fd, (uint32_t)request, (uint64_t)(uintptr_t)argument);
  if (status >= 0) return status;
  errno = -status;
  return -1;
}
