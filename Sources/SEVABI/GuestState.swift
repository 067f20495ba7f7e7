/// Where the firmware says a guest stands, numbered as the firmware numbers it.
///
/// The kernel's documentation has 4 and 5 the other way round; KVM passes the firmware's number through.
public enum GuestState: UInt32, CaseIterable, Hashable, Sendable {
  /// No such guest.
  case uninitialized = 0
  /// LUPDATE: being launched, memory is measured and encrypted.
  case launching = 1
  /// LSECRET: measured, secrets may be injected.
  case measured = 2
  case running = 3
  /// SUPDATE: being sent to another machine.
  case sending = 4
  /// RUPDATE: being received from another machine.
  case receiving = 5
  case sent = 6
}
