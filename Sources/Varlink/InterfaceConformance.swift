extension InterfaceDescription {
  /// Finds the first field of an encoded object that the given fields do not allow, or that they demand and
  /// the object lacks. For tests that keep Swift types and interface text in step.
  ///
  /// - Parameter json: One JSON object.
  /// - Returns: The field's path, or `nil` if all fits. A text that is not JSON counts as the field "".
  public func firstMismatch(in json: [UInt8], with fields: [Field]) -> String? {
    let checker = TypeChecker(interface: self, allowsUndeclaredFields: false)
    do throws(TypeChecker.Mismatch) {
      var reader: JSONReader
      do throws(JSONFault) {
        reader = try JSONReader(json, maximumDepth: ConnectionLimits().nestingDepth)
      } catch { throw .fault(error) }
      try checker.check(&reader, against: fields, path: "", depth: 0)
      return nil
    } catch {
      switch error {
      case .field(let path): return path
      case .fault: return ""
      }
    }
  }
}
