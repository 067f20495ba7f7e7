/* The paths of the devices that the library stands for. */
#ifndef SEVMODEL_DEVICE_PATH_H
#define SEVMODEL_DEVICE_PATH_H

/* PATH_PARAMETER: a file about KVM's modules, perhaps one that the host does not have. */
enum device_path { PATH_OTHER, PATH_KVM, PATH_FIRMWARE, PATH_PARAMETER };
#define PATH_PARAMETER_PREFIX "/sys/module/kvm"

/*
 * Always PATH_OTHER when no model is named in the environment. NULL is allowed, though open's own declaration
 * says otherwise: that is for the kernel to refuse.
 */
enum device_path device_of_path(const char *path);

#endif
