/// What the guest's firmware says about live migration.
public enum FirmwareStanding: Hashable, Sendable, CustomStringConvertible {
  /// The guest was booted without UEFI, so that there is no firmware to ask: its kernel decides alone.
  case none
  case agrees
  /// Stock OVMF never sets the variable.
  case variableMissing
  case variableFalse
  /// The variable is not one byte, or the operating system cannot read it.
  case variableMalformed
  case storeUnreadable(UEFIVariableStoreError)

  /// Looks into the firmware's variable store.
  ///
  /// - Parameter file: All of it, such as QEMU's second pflash drive.
  public init(variableStore file: [UInt8]) {
    do throws(UEFIVariableStoreError) {
      self.init(try UEFIVariableStore(decoding: file))
    } catch {
      self = .storeUnreadable(error)
    }
  }

  /// Looks at the variables.
  public init(_ store: UEFIVariableStore) {
    guard let variable = store[UEFIVariable.liveMigration, .memoryEncryption] else {
      self = .variableMissing
      return
    }
    // A BOOLEAN that the guest's kernel reads by its runtime services.
    switch (variable.attributes.isSuperset(of: [.bootService, .runtime]), variable.data) {
    case (true, [1]): self = .agrees
    case (true, [0]): self = .variableFalse
    default: self = .variableMalformed
    }
  }

  /// Whether nothing of the firmware stands against a migration.
  public var agrees: Bool { self == .none || self == .agrees }

  public var description: String {
    let variable = UEFIVariable.liveMigration
    return switch self {
    case .none: "the guest has no UEFI firmware, whose word would be needed"
    case .agrees: "the firmware's variable \(variable) is set"
    case .variableMissing:
      "the firmware has not set its variable \(variable). Stock OVMF never does: an OVMF with the SEV live "
        + "migration series is needed"
    case .variableFalse: "the firmware's variable \(variable) is false"
    case .variableMalformed:
      "the firmware's variable \(variable) is not one byte that the guest's kernel can read"
    case .storeUnreadable(let error): error.description
    }
  }
}
