public import BatonWire

extension MigrationID {
  /// A new id, from the kernel's generator.
  public static func random() -> MigrationID {
    guard let id = MigrationID(randomBytes(MigrationID.byteCount)) else {
      preconditionFailure("an id has 16 bytes")
    }
    return id
  }
}

extension DepartureReceipt {
  /// A new receipt, from the kernel's generator.
  public static func random() -> DepartureReceipt {
    guard let receipt = DepartureReceipt(randomBytes(DepartureReceipt.byteCount)) else {
      preconditionFailure("a receipt has 32 bytes")
    }
    return receipt
  }
}

/// Bytes of `getrandom`, which is what the standard library's generator calls.
func randomBytes(_ count: Int) -> [UInt8] {
  var generator = SystemRandomNumberGenerator()
  return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
}
