/// The argument of `KVM_CREATE_VM` on x86.
public enum MachineType: UInt64, CaseIterable, Hashable, Sendable {
  case standard = 0
  case softwareProtected = 1
  case sev = 2
  case sevES = 3
  case snp = 4
  case tdx = 5
}
