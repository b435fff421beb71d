// The plan of the fake library: a text that says which tensors there are, what is computed and what goes wrong.
//
//   weir-mock-plan 1
//   version 100300                      library that it was built for
//   input data float -1 3 4 4           name, type, sides
//   output probs float -1 3
//   profile data 1 3 4 4 | 8 3 4 4 | 16 3 4 4
//   compute softmax-of-means            or: means, nothing
//   fault NAME [COUNT]                  see nvinfer.cpp
#pragma once
#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace mock {

struct Tensor {
    std::string name;
    std::string type;
    std::vector<int64_t> sides;
    bool input = false;
    std::vector<int64_t> profile[3];
};

struct Plan {
    int32_t version = 0;
    std::vector<Tensor> tensors;
    std::string compute = "nothing";
    std::map<std::string, int64_t> faults;

    bool has(char const *fault) const { return faults.count(fault) != 0; }

    Tensor const *find(std::string const &name) const {
        for (Tensor const &tensor : tensors) {
            if (tensor.name == name) {
                return &tensor;
            }
        }
        return nullptr;
    }
};

// Empty `why` where the text holds.
inline std::string parse(std::string const &text, char const *magic, Plan *plan) {
    std::istringstream lines(text);
    std::string line;
    if (!std::getline(lines, line) || line != magic) {
        return std::string("not a ") + magic;
    }
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string key, name;
        if (!(words >> key)) {
            continue;
        }
        if (key == "version") {
            words >> plan->version;
        } else if (key == "input" || key == "output") {
            Tensor tensor;
            tensor.input = key == "input";
            words >> tensor.name >> tensor.type;
            for (int64_t side; words >> side;) {
                tensor.sides.push_back(side);
            }
            plan->tensors.push_back(tensor);
        } else if (key == "profile") {
            words >> name;
            for (Tensor &tensor : plan->tensors) {
                if (tensor.name != name) {
                    continue;
                }
                int which = 0;
                for (std::string word; words >> word;) {
                    if (word == "|") {
                        ++which;
                    } else if (which < 3) {
                        tensor.profile[which].push_back(std::stoll(word));
                    }
                }
            }
        } else if (key == "compute") {
            words >> plan->compute;
        } else if (key == "fault") {
            int64_t count = 0;
            words >> name;
            words >> count;
            plan->faults[name] = count;
        } else if (key != "build") {
            return "unknown word " + key;
        }
    }
    return "";
}

} // namespace mock
