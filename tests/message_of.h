// What tests of errors share.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace podium {

// The message of the error that `function` must end in; fails the test when it ends otherwise.
template <typename ErrorType, typename Function>
std::string message_of(Function&& function) {
  try {
    function();
  } catch (const ErrorType& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message;
    return message;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another type of error: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

}  // namespace podium
