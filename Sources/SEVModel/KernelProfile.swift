/// Which kernel the model is.
///
/// The differences are those of the facts that are known of each: command numbers, capabilities, and the order
/// or errno of a few checks.
public enum KernelProfile: String, CaseIterable, Hashable, Sendable {
  /// The local-migration patches of June 2021 (version 1): commands 22 and 23 are LOCAL_SEND and
  /// LOCAL_RECEIVE.
  ///
  /// They are carried on a kernel that has the capabilities of 5.16 as well, so that both ways to hand a
  /// context over can be had from one modelled kernel. Without ``ModelConfiguration/offersMove`` it is the
  /// historic one in all that concerns SEV.
  case rfc = "rfc"
  /// Mainline when contexts could first be moved between VMs.
  case mainline516 = "mainline-5.16"
  /// Mainline with machine types and INIT2.
  case mainline611 = "mainline-6.11"
  /// The tenth version of the live-migration series, never merged: the kernel itself keeps the list of shared
  /// pages.
  case v10SharedPages = "v10-shared-pages"

  /// Whether commands 22 and 23 are LOCAL_SEND and LOCAL_RECEIVE.
  var hasLocalMigration: Bool { self == .rfc }
  /// Whether there are machine types, and command 22 is INIT2.
  var hasMachineTypes: Bool { self == .mainline611 }
  var hasMove: Bool { self != .v10SharedPages }
  var hasMirrors: Bool { self != .v10SharedPages }
  var hasExitHypercall: Bool { self != .v10SharedPages }
  var hasSendCancel: Bool { self != .v10SharedPages }
  /// Whether hypercall 12 and the migration MSR are handled in the kernel.
  var keepsSharedPages: Bool { self == .v10SharedPages }
  /// Whether a VM with mirrors can be moved; before 5.18 that was EBUSY.
  var movesMirroredMachines: Bool { self == .mainline611 }
  /// Whether INIT of a VM that is a guest already is EBUSY, as in 2021, and not EINVAL.
  var refusesSecondInitializeAsBusy: Bool {
    switch self {
    case .rfc, .v10SharedPages: true
    case .mainline516, .mainline611: false
    }
  }
  /// Whether a mirror may use some commands; in 2021 it could use none.
  var givesMirrorsCommands: Bool {
    switch self {
    case .rfc, .v10SharedPages: false
    case .mainline516, .mainline611: true
    }
  }
}
