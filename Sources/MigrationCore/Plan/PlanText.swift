/// Figures in sentences for people, in ASCII.
enum PlanText {
  /// A whole number with a comma between each three digits.
  static func count(_ value: Double) -> String {
    guard value.isFinite, value < 1e15 else { return "very many" }
    return count(UInt64(max(0, value).rounded()))
  }

  /// A whole number with a comma between each three digits.
  static func count(_ value: UInt64) -> String {
    var result = ""
    let digits = String(value)
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { result.append(",") }
      result.append(digit)
    }
    return result
  }

  /// `240 ms`, `5.2 s`, `4 min 10 s`, `2 h 41 min`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "for ever" }
    let seconds = max(0, seconds)
    if seconds < 0.9995 { return "\(Int((seconds * 1000).rounded())) ms" }
    if seconds < 119.95 {
      let tenths = Int((seconds * 10).rounded())
      return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
    let whole = Int(seconds.rounded())
    return whole < 7200 ? "\(whole / 60) min \(whole % 60) s" : "\(whole / 3600) h \(whole / 60 % 60) min"
  }

  /// `118 MiB/s`.
  static func bytesPerSecond(_ value: Double) -> String {
    guard value.isFinite, value < 1e18 else { return "without limit" }
    for (unit, factor) in [("GiB/s", 1_073_741_824.0), ("MiB/s", 1_048_576.0), ("KiB/s", 1024.0)]
    where value >= factor {
      let tenths = Int((value / factor * 10).rounded())
      return tenths >= 100 || tenths % 10 == 0
        ? "\((tenths + 5) / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(Int(max(0, value))) B/s"
  }
}
